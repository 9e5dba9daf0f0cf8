/**
 * What an upstream's error body says, in the words that vendors of OpenAI-shaped endpoints use.
 *
 * The code stands in `error.code`, `error.type`, `code`, or in `error` itself; a body may be cut off anywhere.
 */
import type { Provider } from '../provider/provider.ts'

const CODES = /"(?:code|type|error|status|reason)"\s*:\s*"?([\w.-]{1,100})/g

/** Every code in the body, as it is written. */
export function errorCodes(body: string): ReadonlySet<string> {
  return new Set([...body.matchAll(CODES)].map(([, code = '']) => code))
}

/** An account that owes money, or has none left, as Model Studio and OpenAI name it. */
const ARREARS = new Set([
  'Arrearage',
  'PostpaidBillOverdue',
  'PrepaidBillOverdue',
  'billing_hard_limit_reached',
  'billing_not_active',
])

/** The account does not pay: neither this call nor the next one is answered. */
export function isInArrears(body: string): boolean {
  return hasAny(body, ARREARS)
}

/** What the account may use is used up. */
export function isOutOfQuota(body: string, { errors }: Pick<Provider, 'errors'>): boolean {
  return hasAny(body, errors.quota)
}

/** By code alone: a message may quote what the client wrote. */
function hasAny(body: string, words: ReadonlySet<string>): boolean {
  return [...errorCodes(body)].some((code) => words.has(code))
}
