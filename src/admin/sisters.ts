/**
 * Whose key is it? Vendors with several regions and plans refuse a key of the one at the addresses of the others in
 * the same words as a wrong key, so the provider's sisters are asked. Only an address that a provider file itself
 * names is believed to be the vendor's: a key for a server of one's own goes nowhere else.
 */
import { SECOND } from '../base/clock.ts'
import { looksLikeKeyOf, type Provider } from '../provider/provider.ts'
import { accessTo, type UpstreamAccess } from '../upstream/access.ts'
import type { Agents } from '../upstream/agent.ts'
import type { Check } from './config-answers.ts'
import { judged, type Verdict } from './judge-answer.ts'
import { complete } from './trial.ts'

/** A person waits for the slowest of them. */
const TIMEOUT_MS = 10 * SECOND

export interface Sister {
  readonly provider: Provider
  /** Undefined: it cannot be reached, or said nothing about the key. */
  readonly takesIt: boolean | undefined
}

interface Question {
  readonly access: UpstreamAccess
  readonly key: string
  readonly model: string
  readonly providers: ReadonlyMap<string, Provider>
  readonly agents: Pick<Agents, 'of'>
}

/** All of them at once; each may answer within its own time. */
export function askSisters(question: Question): Promise<Sister[]> {
  const { key, model, agents } = question
  return Promise.all(
    sistersOf(question).map(async (provider) => {
      const there = accessTo(provider, { token: key, resourceUrl: undefined, baseUrl: '' })
      const answer = await complete(there, model, agents, TIMEOUT_MS)
      const verdict = judged(answer, provider)
      return { provider, takesIt: TAKEN.has(verdict) || (REFUSED.has(verdict) ? false : undefined) }
    }),
  )
}

/** What only a server says that knows the key. */
const TAKEN: ReadonlySet<Verdict> = new Set([
  'none',
  'quota',
  'free_quota',
  'arrears',
  'model_unknown',
  'model_denied',
  'not_activated',
])
const REFUSED: ReadonlySet<Verdict> = new Set(['wrong_key', 'key_refused', 'wrong_host'])

function sistersOf({ access, key, providers }: Question): Provider[] {
  const asked = originOf(access.baseUrl)
  const here = [...providers.values()].filter(
    ({ kind, upstream }) => kind === 'api_key' && originOf(upstream.baseUrl) === asked,
  )
  const names = new Set(here.flatMap(({ apiKey }) => apiKey.sisters))
  return [...names].flatMap((name) => {
    const sister = providers.get(name)
    if (sister?.kind !== 'api_key' || !looksLikeKeyOf(sister, key)) return []
    const origin = originOf(sister.upstream.baseUrl)
    return origin === undefined || origin === asked ? [] : [sister]
  })
}

function originOf(address: string | undefined): string | undefined {
  return address === undefined ? undefined : new URL(address).origin
}

/** What they said, for a person. */
export function told(sisters: readonly Sister[]): Pick<Check, 'detail' | 'detail_zh'> {
  const list = (taken: string, refused: string, unknown: string) =>
    sisters
      .map(({ provider: { name }, takesIt }) => {
        return `${name}: ${takesIt ? taken : takesIt === false ? refused : unknown}`
      })
      .join(', ')
  return {
    detail: list('takes the key', 'does not know it either', 'did not say'),
    detail_zh: list('接受该密钥', '同样不认识', '未能确认'),
  }
}
