/**
 * The second step of a login: its token is traded for the one that calls carry. Asking again costs nothing; what renews the
 * login goes the way of every login.
 */
import { NoKeys } from '../aws/aws-question.ts'
import { type Clock, MINUTE } from '../base/clock.ts'
import type { Renewal } from '../oauth/refresh-token-grant.ts'
import type { Asking } from '../oauth/steps.ts'
import { requestBySteps } from '../oauth/token-request.ts'
import { type Credential, isRenewable } from './credential.ts'
import type { Refresher } from './refresh.ts'

/** @param wasRefused and nothing has changed since. @throws NoKeys */
export type Trade = (login: Credential, wasRefused: boolean) => Promise<Renewal>

/** A token that is refused is renewed first, once, unless it is new: it may have ended before its time. */
export function createTrade(
  askingFor: (login: Credential) => Asking,
  refresher: Pick<Refresher, 'refresh'>,
  clock: Clock,
): Trade {
  const trade = (login: Credential) => requestBySteps(askingFor(login), login.tokens.accessToken)
  return async (login, wasRefused) => {
    const renewal = await trade(login)
    const isNew = clock() - (login.tokens.receivedAt ?? 0) < MINUTE
    if (renewal.kind !== 'refused' || wasRefused || isNew || !isRenewable(login)) return renewal
    const outcome = await refresher.refresh(login, true).outcome
    if (outcome.kind === 'renewed') return trade(outcome.credential)
    throw new NoKeys('why' in outcome ? outcome.why : 'the login is over', false)
  }
}
