/**
 * Whether an answer, or the lack of one, is a reason to ask the key's next config instead, and for how long the
 * one that gave it should rest. Only before the first byte has gone to the client.
 */
import { MINUTE, SECOND } from '../base/clock.ts'
import type { BrokerError } from '../base/errors.ts'
import type { Provider } from '../base/provider.ts'
import { parseRetryAfter } from '../oauth/wire.ts'
import type { Head, UpstreamCall } from '../upstream/call.ts'
import { headerValue } from '../upstream/headers.ts'

const RATE_LIMITED_MS = 30 * SECOND
const NO_QUOTA_MS = 5 * MINUTE
const BROKEN_MS = 10 * SECOND
const NO_LOGIN_MS = MINUTE
/** An error body; more of it than this tells nothing more. */
const MAX_ERROR_BYTES = 16 * 1024

/** Milliseconds to rest, or undefined if the answer is to be passed on. Reads the body of a 403 to tell quota apart. */
export async function restAfterAnswer(
  head: Head,
  call: UpstreamCall,
  provider: Provider | undefined,
): Promise<number | undefined> {
  if (head.status === 429) return retryAfterMs(head) ?? RATE_LIMITED_MS
  if (head.status === 401) return NO_LOGIN_MS
  if (head.status >= 500) return BROKEN_MS
  if (head.status !== 403) return undefined
  const body = (await call.peek(MAX_ERROR_BYTES)).toString('utf8')
  return [...(provider?.errors.quota ?? [])].some((code) => body.includes(code)) ? NO_QUOTA_MS : undefined
}

/** Whatever we cannot get an answer for here, another config may have one for. */
export function restAfterFailure(error: BrokerError): number {
  return error.code === 'credential_reauth_required' ? NO_LOGIN_MS : BROKEN_MS
}

/** `Retry-After`, or OpenAI's `x-ratelimit-reset-*` ("1s", "6m0s", "250ms"). */
function retryAfterMs({ headers }: Head): number | undefined {
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
