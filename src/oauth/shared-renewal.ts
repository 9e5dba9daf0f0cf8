/**
 * What an answer means to a credential that may be asked for again (docs/refresh-machine.md, "What may be asked again").
 *
 * No answer, an unreadable one and 5xx are trouble of the server's: one at a time finds out when it is over. A refusal is
 * about what the config was given.
 */
import { systemClock } from '../base/clock.ts'
import { clockSkew, skewNote } from '../base/clock-skew.ts'
import { errorCode, errorDescription, withoutSecrets } from './dialect.ts'
import { notProcessed, type Renewal } from './refresh-token-grant.ts'
import type { TokenSet } from './token-response.ts'
import type { Answered, WireAnswer } from './wire.ts'

/** RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 8707 §2. */
const REFUSED_CODES: ReadonlySet<string> = new Set([
  'invalid_client',
  'invalid_grant',
  'unauthorized_client',
  'invalid_scope',
  'invalid_target',
  'access_denied',
])
const REFUSED_STATUSES: ReadonlySet<number> = new Set([400, 401, 403, 404, 422])
/** What servers say of themselves, at whatever status. */
const PASSING: ReadonlySet<string> = new Set(['temporarily_unavailable', 'server_error', 'slow_down'])

/** How to read what a server says. */
export interface Reading {
  /** Further codes that only a person can mend. */
  readonly refused: ReadonlySet<string>
  /** The code of an error that stands where the provider file says. */
  readonly code?: (answer: Answered) => string | undefined
  /** Undefined: there are none in it; else them, or what is wrong with them. */
  readonly tokens: (answer: Answered) => TokenSet | string | undefined
}

export function judgeShared(answer: WireAnswer, reading: Reading): Renewal {
  const { refused, tokens } = reading
  if (answer.kind === 'unsent') {
    return answer.isLasting
      ? { kind: 'refused', why: answer.why }
      : notProcessed(answer.why, undefined, false)
  }
  if (answer.kind !== 'answer') return notProcessed(answer.why, undefined, true)
  const { status, body, retryAfterMs } = answer
  const code = reading.code?.(answer) ?? errorCode(answer, refused)
  const isKnown = code === undefined || REFUSED_CODES.has(code) || refused.has(code)
  const shown = isKnown ? code : withoutSecrets(code, answer.sent)
  const skew = clockSkew(answer.header('date'), systemClock())
  const note = skew === undefined ? undefined : skewNote(skew)
  const why = [`status ${status}`, shown, note, errorDescription(answer)].filter(Boolean).join(' ')
  const found = status >= 200 && status < 300 && !code ? tokens(answer) : undefined
  if (typeof found === 'object') return { kind: 'tokens', tokens: found }
  if (found !== undefined) return notProcessed(`${why}, ${found}`, undefined, true)
  const isReadable = body !== undefined && status < 500 && status !== 408 && status !== 429
  const isRefusal = code === undefined ? REFUSED_STATUSES.has(status) : isRefusalCode(code, status, refused)
  if (isReadable && isRefusal) return { kind: 'refused', why }
  return notProcessed(why, retryAfterMs, true)
}

function isRefusalCode(code: string, status: number, refused: ReadonlySet<string>): boolean {
  if (PASSING.has(code)) return false
  return REFUSED_CODES.has(code) || refused.has(code) || REFUSED_STATUSES.has(status)
}
