/**
 * What each process gets for itself: AWS keys, a token that it signs, or one that is asked for as shared ones are.
 */
import type { AwsKeySources } from '../aws/aws-keys.ts'
import { NoKeys } from '../aws/aws-question.ts'
import type { Clock } from '../base/clock.ts'
import type { Renewal } from '../oauth/refresh-token-grant.ts'
import type { Credential } from './credential.ts'

export type Fetched = Pick<Credential, 'tokens' | 'awsKeys'>
/** @throws NoKeys */
export type LocalFetch = (row: Credential) => Promise<Fetched>

export function createLocalFetch(
  aws: Pick<AwsKeySources, 'fetch'>,
  renew: (row: Credential) => Promise<Renewal>,
  clock: Clock,
): LocalFetch {
  return async (row) => {
    const { awsSigV4, egress } = row.provider
    if (awsSigV4) {
      const { expiresAt, ...awsKeys } = await aws.fetch(awsSigV4, egress)
      const tokens = { ...row.tokens, accessToken: awsKeys.accessKeyId, expiresAt, receivedAt: clock() }
      return { tokens, awsKeys }
    }
    const renewal = await renew(row)
    if (renewal.kind === 'tokens') return { tokens: renewal.tokens }
    throw new NoKeys(renewal.why, renewal.kind === 'refused')
  }
}
