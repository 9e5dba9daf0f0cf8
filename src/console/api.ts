/**
 * Calls of the management API with the console's cookie, and the session behind it.
 */
import type { ConsoleSessionItem } from '../admin/answers.ts'
import { addressOf } from './root.ts'
import { language, read, write } from './settings.ts'

export class ApiError extends Error {
  readonly code: string
  readonly status: number

  constructor(code: string, status: number, message: string) {
    super(message)
    this.code = code
    this.status = status
  }
}

interface ErrorBody {
  readonly code?: string
  readonly message?: string
}

/** Set while somebody is signed in, so that a first visit does not ask for a session that cannot be. */
const HINT = 'token-broker.signed-in'

let csrfToken: string | undefined

/** Tells `ended` when the broker no longer takes our cookie. */
export const session = new EventTarget()

/** @throws ApiError */
export async function api<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await send(method, path, body)
  const text = await response.text()
  const answer: unknown =
    text && response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : undefined
  if (response.ok) return answer as T
  const { code = 'unknown', message } = (answer ?? {}) as ErrorBody
  if (code === 'admin_token_required') session.dispatchEvent(new Event('ended'))
  throw new ApiError(code, response.status, message ?? `HTTP ${response.status}`)
}

export const get = <T>(path: string): Promise<T> => api<T>('GET', path)
export const post = <T>(path: string, body?: unknown): Promise<T> => api<T>('POST', path, body)

/** @throws ApiError */
export async function signIn(token: string): Promise<void> {
  csrfToken = (await post<ConsoleSessionItem>('/api/session', { token })).csrf_token
  write(HINT, 'yes')
}

/** Whether the cookie of an earlier visit is still good. @throws ApiError if nobody can say just now */
export async function resume(): Promise<boolean> {
  if (read(HINT) === null) return false
  const response = await sendOnce('GET', '/api/session')
  if (response.status >= 500) throw new ApiError('unknown', response.status, `HTTP ${response.status}`)
  if (response.ok) csrfToken = ((await response.json()) as ConsoleSessionItem).csrf_token
  return response.ok
}

/** Why the broker cannot do its work, as `/health/ready` says; undefined if it can. */
export async function troubleOfBroker(): Promise<string | undefined> {
  const response = await sendOnce('GET', '/health/ready')
  return response.ok ? undefined : ((await response.json()) as { status: string }).status
}

export async function signOut(): Promise<void> {
  await api('DELETE', '/api/session')
  write(HINT, null)
  session.dispatchEvent(new Event('ended'))
}

/** What the broker answers, whatever that is. @throws ApiError if nothing answers */
export async function send(...call: Parameters<typeof sendOnce>): Promise<Response> {
  const response = await sendOnce(...call)
  if (response.status !== 403 || (await response.clone().json()).code !== 'csrf_token_required')
    return response
  await resume() // another tab has signed in meanwhile
  return sendOnce(...call)
}

async function sendOnce(
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<Response> {
  try {
    return await fetch(addressOf(path), {
      method,
      ...(signal && { signal }),
      headers: {
        'accept-language': language(), // in which the broker says what is wrong
        ...(csrfToken !== undefined && { 'x-csrf-token': csrfToken }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
  } catch {
    throw new ApiError(
      'unreachable',
      0,
      language() === 'zh' ? '无法连接服务' : 'The broker cannot be reached',
    )
  }
}
