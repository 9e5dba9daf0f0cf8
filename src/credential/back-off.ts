/**
 * How long a credential is left alone once an attempt has brought no tokens.
 */
import type { Action } from './refresh-step.ts'

const BACK_OFF_MIN_MS = 5_000
const BACK_OFF_MAX_MS = 25_000 // half a minute after a server's return everybody has asked it again
/** A change of what was refused is tried at once; that something changed at the server nobody tells us. */
const REFUSED_MIN_MS = 30_000
const REFUSED_MAX_MS = 200_000

/**
 * In doubt the old access token serves to its real end, and not a moment is lost after that.
 * @param failures attempts in a row before this one that brought nothing
 * @returns epoch ms
 */
export function nextAttemptAt(
  { row, state, retryAfterMs = 0 }: Extract<Action, { do: 'release' }>,
  now: number,
  failures: number,
): number {
  const { expiresAt } = row.tokens
  if (state === 'refused') return now + backOff(failures, REFUSED_MIN_MS, REFUSED_MAX_MS)
  if (state === 'uncertain' && expiresAt !== undefined && now < expiresAt) return expiresAt
  return now + Math.max(retryAfterMs, state === 'uncertain' ? backOff() : backOff(failures))
}

/** 5 s, 10 s, 20 s, 25 s …, each up to half as long again so that replicas do not march in step. */
function backOff(
  failures = Number.POSITIVE_INFINITY,
  minMs = BACK_OFF_MIN_MS,
  maxMs = BACK_OFF_MAX_MS,
): number {
  return Math.round(Math.min(minMs * 2 ** failures, maxMs) * (1 + Math.random() / 2))
}
