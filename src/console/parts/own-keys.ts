/**
 * Keys whose text this page knows: those made while it is open, and a short-lived one for the playground.
 *
 * In memory only; a reload forgets them.
 */

import type { ApiKeyList, NewApiKey } from '../../admin/answers.ts'
import { api, get, post } from '../api.ts'
import { read, write } from '../settings.ts'

export type OwnKey = Pick<NewApiKey, 'id' | 'name' | 'key'>

const TEMPORARY_NAME = 'playground (temporary)'
const TEMPORARY_ID = 'token-broker.temporary-key'
const HOUR_MS = 3_600_000

export const ownKeys: OwnKey[] = []
let temporary: Promise<OwnKey> | undefined
let temporaryEndsAt = 0

/** @throws ApiError */
export async function createKey(fields: { name: string; [field: string]: unknown }): Promise<NewApiKey> {
  const made = await post<NewApiKey>('/api/keys', fields)
  ownKeys.unshift({ id: made.id, name: made.name, key: made.key })
  return made
}

/** @throws ApiError */
export async function rotateKey(id: string, overlapSeconds: number): Promise<NewApiKey> {
  const made = await post<NewApiKey>(`/api/keys/${id}/rotate`, { overlap_seconds: overlapSeconds })
  forgetKey(id)
  ownKeys.unshift({ id, name: made.name, key: made.key })
  return made
}

export function forgetKey(id: string): void {
  const index = ownKeys.findIndex((key) => key.id === id)
  if (index !== -1) ownKeys.splice(index, 1)
  void temporary?.then((key) => {
    if (key.id === id) temporary = undefined
  })
}

/** Good for an hour, for every account; takes the place of the one before. @throws ApiError */
export function temporaryKey(): Promise<OwnKey> {
  if (temporary && Date.now() < temporaryEndsAt) return temporary
  temporaryEndsAt = Date.now() + HOUR_MS
  const key = post<OwnKey>('/api/keys', { name: TEMPORARY_NAME, expires_at: temporaryEndsAt })
  temporary = key
  key.then(replaceLast, () => {
    temporary = undefined
  })
  return key
}

/** The last one of this browser, and those that ran out elsewhere. */
async function replaceLast({ id: newest }: OwnKey): Promise<void> {
  const last = read(TEMPORARY_ID)
  write(TEMPORARY_ID, newest)
  const { items } = await get<ApiKeyList>(`/api/keys?page_size=100&q=${encodeURIComponent(TEMPORARY_NAME)}`)
  const old = items.filter(
    ({ id, name, expires_at }) =>
      name === TEMPORARY_NAME && (id === last || (expires_at ?? Infinity) < Date.now()),
  )
  for (const { id } of old) await api('DELETE', `/api/keys/${id}`).catch(() => undefined)
}
