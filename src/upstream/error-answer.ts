/**
 * What an upstream's error body says, in the words that vendors of OpenAI-shaped endpoints use.
 *
 * The code stands in `error.code`, `error.type`, `code`, or in `error` itself; a body may be cut off anywhere.
 */
import { codingsOf, decodedNow } from '../base/content-codings.ts'
import { type HeaderList, headerValue } from '../http1/header-list.ts'
import type { Provider } from '../provider/provider.ts'

const CODES = /"(?:code|type|error|error_code|status|reason)"\s*:\s*"?([\w.-]{1,100})/g

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

/** Unpacked, more of an error tells nothing more. */
const MAX_UNPACKED_BYTES = 256 * 1024

/**
 * The beginning of a body as text, without its coding: clients of the usual libraries ask for one.
 * @param bytes which may be cut off anywhere
 * @param max of them, and of what they unpack to
 * @returns '' for a coding that is not known, or not kept to
 */
export function readableText(bytes: Buffer, headers: HeaderList, max: number): string {
  const codings = codingsOf(headerValue(headers, 'content-encoding'))
  const options = { maxOutputLength: MAX_UNPACKED_BYTES, isBeginning: true }
  try {
    return decodedNow(bytes.subarray(0, max), codings, options)?.toString('utf8', 0, max) ?? ''
  } catch {
    return ''
  }
}
