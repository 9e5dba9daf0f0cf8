/**
 * For F12: answers that only a journal holds, as lines that the old key sealed.
 */
import { Secret } from '../../../src/base/secret.ts'
import { fingerprint } from '../../../src/credential/credential.ts'
import { Journal } from '../../../src/credential/journal.ts'
import { KeyRing } from '../../../src/vault/key-ring.ts'
import type { PlannedLogin } from '../../support/logins.ts'
import type { TokenServer } from '../../support/token-server.ts'
import { type Broker, ENCRYPTION_KEY as OLD } from '../broker.ts'
import type { Schema } from '../stage.ts'

const STORED_WITHIN_MS = 20_000
const HOUR_MS = 3_600_000

interface Kept {
  readonly schema: Schema
  readonly server: TokenServer
  readonly brokers: readonly Broker[]
  /** For each broker: whose newest tokens its journal alone holds. */
  readonly pending: readonly (readonly PlannedLogin[])[]
}

/**
 * What a replica leaves that read an answer under the old key and was cut off from the database: its refresh token is
 * spent, and the row does not hold the new one.
 */
export async function keepAnswers({ brokers, pending, server }: Kept): Promise<Journal[]> {
  const journals = brokers.map(({ dataDir }) => new Journal(dataDir, new KeyRing([new Secret(OLD)])))
  for (const [index, journal] of journals.entries()) {
    for (const { id, name } of pending[index] ?? []) {
      const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: `${name}.0` })
      const response = await fetch(`${server.origin}/token`, { method: 'POST', body })
      const answer = (await response.json()) as { access_token: string; refresh_token: string }
      const at = Date.now()
      const tokens = {
        ...{ accessToken: answer.access_token, refreshToken: answer.refresh_token, tokenType: 'Bearer' },
        ...{ scope: undefined, expiresAt: at + HOUR_MS, receivedAt: at, metadata: {} },
      }
      journal.keep({ attemptId: `attempt-${name}`, configId: id, loginAt: 0, fromVersion: 1, tokens, at })
    }
  }
  return journals
}

/** Of the answers in journals: those that their row does not come to hold, or that cannot be used. */
export async function countLost({ brokers, pending, schema }: Kept): Promise<number> {
  const wereUsed = await Promise.all(
    pending.flat().map(async ({ id, name }) => {
      const isStored = await schema.rows.until(
        id,
        (row) => row.oauth_refresh_fingerprint === fingerprint(`${name}.1`),
        STORED_WITHIN_MS,
      )
      const { status } = await (brokers[0] as Broker).admin('POST', `/api/models/configs/${id}/refresh`)
      return isStored !== undefined && status === 200
    }),
  )
  return wereUsed.filter((wasUsed) => !wasUsed).length
}
