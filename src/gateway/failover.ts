/**
 * Asks a key's configs one after the other until one has an answer worth passing on: whether an answer, or the lack of
 * one, is a reason to ask the next, and for how long the one that gave it should rest. Only before the first byte has
 * gone to the client.
 */
import { MINUTE, SECOND } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { headerValue } from '../http1/header-list.ts'
import { parseRetryAfter } from '../oauth/wire.ts'
import type { Provider } from '../provider/provider.ts'
import type { Head, UpstreamCall } from '../upstream/call.ts'
import { readableText } from '../upstream/error-answer.ts'
import { MAY_BE_OUT, outlookOf } from '../upstream/outlook.ts'
import { isRefusal } from '../upstream/refusal.ts'
import type { Usage } from '../usage/usage.ts'
import { type ClientCall, useOf } from './client-call.ts'
import type { Cooldowns } from './cooldowns.ts'
import { assertNotElsewhere } from './redirect.ts'
import type { Route } from './routing.ts'

const BROKEN_MS = 10 * SECOND
const NO_LOGIN_MS = MINUTE
/** An error body; more of it than this tells nothing more, and so long it may take. */
const MAX_ERROR_BYTES = 16 * 1024
const ERROR_BODY_MS = 2 * SECOND

/** How long a config is not asked. */
interface Rest {
  readonly ms: number
  /**
   * By no key: what was seen is about the config. Else it may be about this one call, its path, its headers or its
   * size, and with another answer to their own calls the others should not have to do without the config.
   */
  readonly isForAll: boolean
  /** For the trace. */
  readonly why: string
  /** Upstream does not take the token. */
  readonly isRefusal?: true
}

export interface FailoverParts {
  readonly providers: ReadonlyMap<string, Provider>
  readonly cooldowns: Cooldowns
  readonly usage: Pick<Usage, 'count'>
}

/** What upstream said, to a call or to a handshake. */
interface Answered {
  readonly call: Pick<UpstreamCall, 'peek' | 'discard' | 'cancel'> & {
    readonly request: Pick<UpstreamCall['request'], 'origin' | 'path'>
  }
  readonly head: Head
  readonly route: Route
}

/** Who asks. */
export interface Asking<Answer> extends Pick<ClientCall, 'key' | 'target' | 'hasLeft' | 'passedOver'> {
  spare: Answer | undefined
}

/**
 * @param routes in the order in which they are to be asked
 * @param ask one config: its answer, or a BrokerError
 * @throws BrokerError of the last one, or the one that tells most
 */
export async function firstGoodAnswer<Answer extends Answered>(
  call: Asking<Answer>,
  routes: readonly Route[],
  { providers, cooldowns, usage }: FailoverParts,
  ask: (route: Route) => Promise<Answer>,
): Promise<Answer> {
  /** Somebody could have answered, had a refresh been possible: worth more than another's 401. */
  let unavailable: BrokerError | undefined
  let isSpareRefusal = false
  for (const route of routes) {
    const isLast = route === routes.at(-1)
    cooldowns.trying(route.config.id, call.key.id)
    try {
      const answer = await ask(route)
      assertNotElsewhere(answer, call.target)
      const provider = providers.get(route.config.provider)
      if (isLast && unavailable && (await isRefusalOf(answer, provider))) {
        answer.call.discard()
        throw unavailable
      }
      const rest = isLast ? undefined : await restAfterAnswer(answer, provider, call.target)
      dropSpare(call, usage)
      if (rest === undefined) {
        if (answer.head.status < 400) cooldowns.resume(route.config.id, call.key.id)
        return answer
      }
      call.spare = answer
      isSpareRefusal = rest.isRefusal ?? false
      passOver(call, route, rest, cooldowns)
    } catch (error) {
      usage.count(useOf(call, route, !call.hasLeft))
      if (isLast && call.spare && !call.hasLeft && tellsMore(isSpareRefusal, error)) return call.spare
      const rest = isLast || call.hasLeft ? undefined : restAfterFailure(error)
      if (rest === undefined) {
        call.spare?.call.cancel()
        throw error
      }
      if (rest.why === 'refresh_unavailable') unavailable = error as BrokerError
      passOver(call, route, rest, cooldowns)
    }
  }
  throw new Error('no config to ask')
}

/** An answer that was passed over counts as an error. */
function dropSpare(call: Asking<Answered>, usage: FailoverParts['usage']): void {
  if (!call.spare) return
  call.spare.call.discard()
  usage.count(useOf(call, call.spare.route, true))
  call.spare = undefined
}

function passOver(
  { key, passedOver }: Asking<unknown>,
  { config }: Route,
  rest: Rest,
  cooldowns: Cooldowns,
): void {
  cooldowns.pause(config.id, rest.isForAll ? undefined : key.id, rest.ms)
  passedOver.push(`${config.name}:${rest.why}`)
}

/**
 * Undefined if the answer is to be passed on. Reads the body where quota or money may be why.
 * @param target what the client asked for
 */
export async function restAfterAnswer(
  { head, call, route }: Pick<Answered, 'head' | 'route'> & { readonly call: Pick<UpstreamCall, 'peek'> },
  provider: Provider | undefined,
  target: string,
): Promise<Rest | undefined> {
  const isOrdinary = isOrdinaryCall(target, route)
  const why = String(head.status)
  // Some paths refuse every token there is. A login that is really over is told by its refresh.
  if (await isRefusalOf({ head, call }, provider))
    return { ms: NO_LOGIN_MS, isForAll: false, why, isRefusal: true }
  const outlook = MAY_BE_OUT.has(head.status)
    ? outlookOf(head.status, await errorText(head, call), provider)
    : undefined
  const asked = retryAfterMs(head)
  if (outlook?.next === 'stops') return { ms: Math.max(outlook.ms, asked ?? 0), isForAll: isOrdinary, why }
  if (outlook) return { ms: asked ?? outlook.ms, isForAll: isOrdinary, why }
  return head.status >= 500 ? { ms: asked ?? BROKEN_MS, isForAll: false, why } : undefined
}

/** '' if it does not come: its status has to do then. */
async function errorText({ headers }: Head, call: Pick<UpstreamCall, 'peek'>): Promise<string> {
  const none = Promise.withResolvers<Buffer>()
  const timer = setTimeout(() => none.resolve(Buffer.alloc(0)), ERROR_BODY_MS)
  const bytes = await Promise.race([call.peek(MAX_ERROR_BYTES), none.promise])
  clearTimeout(timer)
  return readableText(bytes, headers, MAX_ERROR_BYTES)
}

function isRefusalOf(
  answer: { readonly head: Head; readonly call: Pick<UpstreamCall, 'peek'> },
  provider: Provider | undefined,
): boolean | Promise<boolean> {
  return isRefusal(answer, provider?.errors.expired ?? [])
}

/** At a path and with a model as everybody's calls have, so that limits it meets are everybody's. */
function isOrdinaryCall(target: string, { config, model }: Route): boolean {
  return COMPLETIONS.test(target) && model !== undefined && config.served.models.includes(model)
}

const COMPLETIONS = /^\/v1\/(chat\/completions|completions|responses|embeddings|messages)(\?|$)/

/** Errors of a config, whatever it is asked for. */
const OF_CONFIG: ReadonlySet<string> = new Set([
  'config_not_found',
  'credential_reauth_required',
  'credential_refused',
  'decryption_failed',
  'storage_unavailable',
  'upstream_not_allowed',
  'upstream_not_configured',
])
/** What ends a connection that stood; a call can bring that about by itself. */
const AFTER_CONNECTING = new Set(['CONNECTION_CLOSED', 'MALFORMED_RESPONSE', 'ECONNRESET', 'EPIPE'])

/** Undefined if the client's call is at fault, which no other config would take either, or if we are. */
export function restAfterFailure(error: unknown): Rest | undefined {
  if (!(error instanceof BrokerError)) return undefined
  const { code: why, detail, status } = error
  if (why === 'credential_reauth_required') return { ms: NO_LOGIN_MS, isForAll: true, why }
  if (OF_CONFIG.has(why)) return { ms: BROKEN_MS, isForAll: true, why }
  if (status < 500) return undefined
  const isForAll = why === 'upstream_unreachable' && !AFTER_CONNECTING.has(detail ?? '')
  return { ms: BROKEN_MS, isForAll, why }
}

/** Whether an answer that was passed over tells more than our own error. A 401 would end what coming back mends. */
function tellsMore(isRefusal: boolean, error: unknown): boolean {
  return error instanceof BrokerError && !(error.code === 'refresh_unavailable' && isRefusal)
}

/** `retry-after-ms`, `Retry-After`, or OpenAI's `x-ratelimit-reset-*` ("1s", "6m0s", "250ms"). */
function retryAfterMs({ headers }: Head): number | undefined {
  const afterMs = headerValue(headers, 'retry-after-ms')
  if (afterMs !== undefined && /^\d{1,12}(?:\.\d+)?$/.test(afterMs)) return Number(afterMs)
  const after = headerValue(headers, 'retry-after')
  if (after !== undefined) return parseRetryAfter(after)
  const resets = ['x-ratelimit-reset-requests', 'x-ratelimit-reset-tokens']
  const waits = resets.flatMap((name) => {
    const value = headerValue(headers, name)
    return value === undefined ? [] : [parseDuration(value)]
  })
  return waits.length > 0 ? Math.max(...waits) : undefined
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: SECOND, m: MINUTE, h: 60 * MINUTE }

function parseDuration(text: string): number {
  let total = 0
  for (const [, amount, unit = 's'] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)?/g)) {
    total += Number(amount) * (UNITS[unit] ?? SECOND)
  }
  return total
}
