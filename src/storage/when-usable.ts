/**
 * A database that cannot be reached yet is waited for; one that refuses us is not.
 */
import { SECOND, sleep } from '../base/clock.ts'
import { parseDatabaseUrl } from '../base/database-url.ts'
import { ConfigError } from '../base/environment.ts'
import { BrokerError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Secret } from '../base/secret.ts'
import { refusalOf } from './storage-error.ts'

interface Place {
  readonly mysqlUrl: Secret | undefined
}

const RETRY_MS = SECOND
/** A password that was changed a moment ago, a database that is just being created. */
const MAX_REFUSALS = 3

/**
 * Does `work` as soon as the database can be used.
 * @param work done again from its beginning where the database failed it
 * @throws ConfigError if the database is there and refuses us
 */
export async function whenUsable(place: Place, log: Logger, work: () => Promise<void>): Promise<void> {
  let refusals = 0
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      const refused = refusalBy(place, error)
      refusals = refused === undefined ? 0 : refusals + 1
      if (refused && refusals === MAX_REFUSALS) throw refused
      log.warn({ err: error }, 'the database cannot be used yet')
      await sleep(RETRY_MS)
    }
  }
}

/** What a database says that is there and will say the same tomorrow, in a line for whoever set it up. */
export function refusalBy({ mysqlUrl }: Place, error: unknown): ConfigError | undefined {
  const refusal = refusalOf(error)
  if (refusal === undefined) return undefined
  // Hosts and name, from a URL that also holds a password.
  const address = mysqlUrl && parseDatabaseUrl(mysqlUrl.reveal())
  const place = address
    ? `DATABASE_URL: ${address.hosts.map(({ host, port }) => `${host}:${port}`).join(', ')}, database ${address.database},`
    : 'DATA_DIR'
  return new ConfigError(`${place} refuses: ${refusal}`)
}
