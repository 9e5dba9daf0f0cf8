/**
 * What callers hear of a credential that does not serve just now, and how it is left until it may.
 */
import { SECOND } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { Credential } from './credential.ts'
import type { Outcome } from './refresh-step.ts'

export const RETRY_AFTER_SECONDS = 5
/** SDKs wait no longer than that by themselves. */
const MAX_RETRY_AFTER_SECONDS = 60

type NotRenewed = Extract<Outcome, { kind: 'unchanged' | 'refused' }>

/** As it is left until it is time to try again. */
export function putOff(credential: Credential, { kind, why, retryAt: nextAt = 0 }: NotRenewed): Credential {
  const attempt = { ...credential.attempt, nextAt }
  if (kind === 'unchanged') return { ...credential, attempt }
  return { ...credential, state: 'refused', attempt: { ...attempt, lastError: why } }
}

/** What the server said is for those who manage: they see it in the config. */
export function refusedError(why: string | undefined): BrokerError {
  const status = /^status \d+( [\w.:-]+)?/.exec(why ?? '')?.[0]
  return new BrokerError('credential_refused', {
    ...(why !== undefined && { detail: why }),
    ...(status !== undefined && { reason: status }),
  })
}

export function assertAlive(credential: Credential): void {
  if (credential.state === 'reauth_required' || credential.state === 'missing') {
    throw new BrokerError('credential_reauth_required', { detail: credential.state })
  }
}

/** @param outcome undefined: it is still under way. @param now epoch ms */
export function unavailable(
  outcome: Extract<Outcome, { kind: 'unchanged' }> | undefined,
  now: number,
): BrokerError {
  const { why = 'still refreshing', retryAt } = outcome ?? {}
  const seconds = retryAt === undefined ? RETRY_AFTER_SECONDS : Math.ceil((retryAt - now) / SECOND)
  return new BrokerError('refresh_unavailable', {
    detail: why,
    retryAfterSeconds: Math.min(Math.max(1, seconds), MAX_RETRY_AFTER_SECONDS),
  })
}
