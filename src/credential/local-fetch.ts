/**
 * What each process gets for itself: AWS keys, a token that it signs, one that is asked for as shared ones are, or what a
 * login is traded for.
 */
import type { AwsKeySources } from '../aws/aws-keys.ts'
import { NoKeys } from '../aws/aws-question.ts'
import type { Clock } from '../base/clock.ts'
import type { Renewal } from '../oauth/refresh-token-grant.ts'
import { followedBy } from '../oauth/token-response.ts'
import { type Credential, isTwoStep } from './credential.ts'
import type { Trade } from './two-step.ts'

export type Fetched = Pick<Credential, 'tokens' | 'awsKeys'>
/** @param wasRefused the last time, and nothing has changed since. @throws NoKeys */
export type LocalFetch = (row: Credential, wasRefused: boolean) => Promise<Fetched>

export interface LocalFetchParts {
  readonly aws: Pick<AwsKeySources, 'fetch'>
  readonly renew: (row: Credential) => Promise<Renewal>
  readonly trade: Trade
  readonly clock: Clock
}

export function createLocalFetch({ aws, renew, trade, clock }: LocalFetchParts): LocalFetch {
  return async (row, wasRefused) => {
    const { awsSigV4, egress } = row.provider
    if (awsSigV4) {
      const { expiresAt, ...awsKeys } = await aws.fetch(awsSigV4, egress)
      const tokens = { ...row.tokens, accessToken: awsKeys.accessKeyId, expiresAt, receivedAt: clock() }
      return { tokens, awsKeys }
    }
    const renewal = isTwoStep(row) ? await trade(row, wasRefused) : await renew(row)
    if (renewal.kind === 'tokens') return { tokens: followedBy(row.tokens, renewal.tokens) }
    throw new NoKeys(renewal.why, renewal.kind === 'refused')
  }
}
