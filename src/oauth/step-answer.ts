/**
 * What a vendor's own token answer says, by the pointers of its provider file.
 *
 * Units are declared, never guessed: an end ten years away was given in another unit, and is no end.
 */
import type { StepAnswer } from '../provider/token-request.ts'
import { type JsonObject, numberOf } from './answer-body.ts'
import { MAX_LIFETIME_MS, readJwt } from './jwt.ts'
import { isToken, MAX_TOKEN_CHARACTERS } from './token-response.ts'
import type { Answered } from './wire.ts'

export interface StepFound {
  readonly token: string
  /** Epoch ms; undefined: nobody says. */
  readonly expiresAt: number | undefined
  readonly resourceUrl: string | undefined
  readonly kept: Readonly<Record<string, string>>
}

/** The code where the file says that one stands, at whatever status. */
export function codeIn({ body }: Answered, { error }: StepAnswer): string | undefined {
  const value = error === undefined ? undefined : at(body, error)
  if (typeof value === 'number') return value === 0 ? undefined : String(value)
  return typeof value === 'string' && !/^(|0|ok|success|none|null|false)$/i.test(value)
    ? value.slice(0, 200)
    : undefined
}

/** @returns what is wrong with it, for a person, where it holds no token that can be used */
export function readStep(answer: Answered, how: StepAnswer, receivedAt: number): StepFound | string {
  const token = tokenIn(answer, how)
  if (typeof token !== 'string' || token === '') return 'no token where the provider file says'
  if (token.length > MAX_TOKEN_CHARACTERS)
    return `the token is ${token.length} characters long, more than ${MAX_TOKEN_CHARACTERS}`
  if (!isToken(token)) return 'the token has characters that none may have'
  const expiresAt = endIn(answer, how, token, receivedAt)
  if (typeof expiresAt === 'string') return expiresAt
  const kept: Record<string, string> = {}
  for (const [name, pointer] of Object.entries(how.keep)) {
    const value = at(answer.body, pointer)
    if (typeof value !== 'string' && typeof value !== 'number') return `no ${pointer}, which is to be kept`
    kept[name] = String(value)
  }
  const url = how.resourceUrl === undefined ? undefined : at(answer.body, how.resourceUrl)
  return { token, expiresAt, resourceUrl: typeof url === 'string' ? url : undefined, kept }
}

function tokenIn({ body, text, header }: Answered, { token }: StepAnswer): unknown {
  if (typeof token === 'string') return at(body, token)
  return 'header' in token ? (header(token.header) ?? undefined) : text().trim()
}

function endIn(
  answer: Answered,
  { expires, lifetimeMs }: StepAnswer,
  token: string,
  receivedAt: number,
): number | undefined | string {
  const unspoken = lifetimeMs === undefined ? readJwt(token)?.expiresAt : receivedAt + lifetimeMs
  if (expires === undefined) return unspoken
  if (!('pointer' in expires) && !('header' in expires)) return readJwt(token)?.expiresAt ?? unspoken
  const value = 'pointer' in expires ? at(answer.body, expires.pointer) : answer.header(expires.header)
  if (value === undefined || value === null || value === '') return unspoken
  const end = Math.trunc(instantOf(value, expires.unit, receivedAt))
  if (Number.isNaN(end)) return `${JSON.stringify(value).slice(0, 40)} is no end in ${expires.unit}`
  if (end > receivedAt + MAX_LIFETIME_MS) return `it ends in more than ten years, read as ${expires.unit}`
  return end
}

/** Epoch ms, or NaN. */
function instantOf(value: unknown, unit: string, receivedAt: number): number {
  if (unit === 'rfc3339') return typeof value === 'string' ? Date.parse(value) : Number.NaN
  const number = numberOf(value) ?? Number.NaN
  if (unit === 'seconds_left') return receivedAt + number * 1_000
  return unit === 'epoch_s' ? number * 1_000 : number
}

/** RFC 6901. */
export function at(body: JsonObject | undefined, pointer: string): unknown {
  let value: unknown = body
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as JsonObject)[name]
  }
  return value
}
