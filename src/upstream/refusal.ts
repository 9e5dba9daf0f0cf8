/**
 * Whether an answer refuses the token: 401, or what the provider's file names in its place (`errors.expired`).
 */
import { headerValue } from '../http1/header-list.ts'
import type { ExpiredRule } from '../provider/expired-rules.ts'
import type { Head, UpstreamCall } from './call.ts'
import { readableText } from './error-answer.ts'

/** Of the body: further on no text is sought. */
const MAX_SOUGHT_BYTES = 4 * 1024

interface Answer {
  readonly head: Head
  /** Its body is looked into only where a rule is for its status and headers, and stays as it is. */
  readonly call: Pick<UpstreamCall, 'peek'>
}

/** A promise only where the body has to tell. */
export function isRefusal(
  { head, call }: Answer,
  expired: readonly ExpiredRule[],
): boolean | Promise<boolean> {
  if (head.status === 401) return true
  if (head.status < 400 || expired.length === 0) return false
  const fitting = expired.filter((rule) => fitsHead(rule, head))
  if (fitting.length === 0) return false
  if (fitting.some(({ body }) => body === undefined)) return true
  const read = (bytes: Buffer) => readableText(bytes, head.headers, MAX_SOUGHT_BYTES)
  return call.peek(MAX_SOUGHT_BYTES).then((bytes) => saysExpired(head, read(bytes), fitting))
}

/** @param text the beginning of its body */
export function saysExpired(head: Head, text: string, expired: readonly ExpiredRule[]): boolean {
  const sought = text.slice(0, MAX_SOUGHT_BYTES)
  return expired.some((rule) => fitsHead(rule, head) && sought.includes(rule.body ?? ''))
}

function fitsHead({ status, headers }: ExpiredRule, head: Head): boolean {
  return (
    status === head.status &&
    headers.every(([name, text]) => headerValue(head.headers, name)?.includes(text) ?? false)
  )
}
