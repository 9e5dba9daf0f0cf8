/**
 * What an upstream that is out says of the next call, by status, code and message: whether waiting helps, or somebody
 * has to pay or to raise a limit first. One table for chat, Responses and Messages, of the vendors' own words.
 */
import { MINUTE, SECOND } from '../base/clock.ts'
import type { Provider } from '../provider/provider.ts'
import { errorCodes, isInArrears, isOutOfQuota } from './error-answer.ts'

export interface Outlook {
  /** `waits`: it answers again by itself. */
  readonly next: 'waits' | 'stops'
  /** When it is worth trying again, unless the answer says when. */
  readonly ms: number
}

interface Sign extends Outlook {
  readonly status: readonly number[]
  /** Any of these, or any at all. */
  readonly codes?: readonly string[]
  /** Of the message, where codes do not tell. */
  readonly says?: RegExp
}

const STOPS = { next: 'stops', ms: 5 * MINUTE } as const
const WAITS_A_MINUTE = { next: 'waits', ms: MINUTE } as const

/** The first that fits counts. Model Studio has OpenAI's codes for limits of another kind, so that its words come first. */
const SIGNS: readonly Sign[] = [
  { status: [402], ...STOPS },
  { status: [429], says: /\bfree allocated quota exceeded/i, ...STOPS },
  { status: [429], says: /\b(?:hour|week|month) allocated quota exceeded/i, ...STOPS },
  {
    status: [429],
    says: /\ballocated quota exceeded|request rate increased too quickly/i,
    ...WAITS_A_MINUTE,
  },
  { status: [429], says: /\b(?:aliyun|alibabacloud)\.com\b/i, ...WAITS_A_MINUTE },
  { status: [429], codes: ['Throttling.RateQuota', 'Throttling.AllocationQuota'], ...WAITS_A_MINUTE },
  {
    status: [429],
    codes: [
      'insufficient_quota',
      'credit_balance_exhausted',
      'organization_spend_limit_exceeded',
      'project_spend_limit_exceeded',
      'organization_usage_limit_exceeded',
      'billing_hard_limit_reached',
      'billing_not_active',
      'enforced_spend_limit_reached',
    ],
    ...STOPS,
  },
  { status: [429], next: 'waits', ms: 30 * SECOND },
  {
    status: [400],
    says: /^Your credit balance is too low|^You have reached your specified (?:\w+ )*usage limits/,
    ...STOPS,
  },
  { status: [529], next: 'waits', ms: 10 * SECOND },
  {
    status: [503],
    codes: ['server_is_overloaded', 'slow_down', 'overloaded_error'],
    next: 'waits',
    ms: 10 * SECOND,
  },
]

/** Statuses whose body tells more. Model Studio says 403 of a free quota and 400 of arrears. */
export const MAY_BE_OUT: ReadonlySet<number> = new Set([400, 402, 403, 429, 503, 529])

/**
 * Undefined where the account is not why, but the call itself or a fault.
 * @param text the beginning of the body
 */
export function outlookOf(
  status: number,
  text: string,
  provider: Pick<Provider, 'errors'> | undefined,
): Outlook | undefined {
  const codes = errorCodes(text)
  const message = MESSAGE.exec(text)?.[1] ?? ''
  const sign = SIGNS.find(
    (one) =>
      one.status.includes(status) &&
      (one.codes?.some((code) => codes.has(code)) ?? true) &&
      (one.says?.test(message) ?? true),
  )
  if (sign || (status !== 400 && status !== 403)) return sign
  return isInArrears(text) || (provider && isOutOfQuota(text, provider)) ? STOPS : undefined
}

/** A quote in what a message quotes is escaped. */
const MESSAGE = /"message"\s*:\s*"((?:[^"\\]|\\.)*)/
