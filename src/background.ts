/**
 * What goes on without anybody asking: finishing what a process before us began, sweeping, delivering events.
 *
 * Runs once per replica: in the only process, or in the primary of several.
 */
import { SECOND, within } from './base/clock.ts'
import { Sweeper } from './credential/sweeper.ts'
import { finishBegun, lookAfterRows, tendJournal } from './credential/upkeep.ts'
import { AuditTrim } from './event/audit-trim.ts'
import { Webhook } from './event/webhook.ts'
import type { Parts } from './parts.ts'
import type { ChangeWatcher } from './storage/changes.ts'
import { proveKeys } from './storage/encryption-canary.ts'
import { isAnyKeyOverAll } from './storage/look-ups.ts'
import { migrate } from './storage/migrate.ts'
import { enforceSeals } from './storage/seal-enforcement.ts'
import { whenUsable } from './storage/when-usable.ts'

export interface Background {
  stop(): void
}

/** At the end, for what the database is still to hear; what it misses is in the journal, or was a count. */
const LAST_WORDS_MS = SECOND

/**
 * Migrates and begins to watch for changes. A database that cannot be reached is waited for.
 * @throws ConfigError if it is there and refuses us
 */
export function startStorage(parts: Parts): Promise<void> {
  const { config, database, keyRing, seals, changes, log } = parts
  return whenUsable(config, log, async () => {
    const done = await migrate(database)
    if (done.length > 0) log.info({ migrations: done }, 'migrated')
    await proveKeys(database, keyRing)
    await enforceSeals(database, seals, changes, log)
    await changes.start()
    startCounting(parts)
  })
}

function startCounting({ usage, acceptances, keyUses, homes }: Parts): void {
  usage.start()
  acceptances.start()
  keyUses.start()
  homes.start()
}

/**
 * Resolves at once: what it does first may take long where very many credentials are held, and calls need none of it.
 * @param address how people reach this broker where PUBLIC_URL does not say
 */
export function startBackground(parts: Parts, address: string): Background {
  const { log, database, changes, deviceSessions, homes } = parts
  const stopTendingLogins = tendLogins(parts)
  deviceSessions.startSweeping()
  const trim = new AuditTrim(database, changes.clock, log)
  trim.start()
  const stopClearing = homes.startClearing()
  const webhook = startWebhook(parts, address)
  return {
    stop() {
      stopTendingLogins()
      deviceSessions.stopSweeping()
      trim.stop()
      stopClearing()
      webhook?.stop()
    },
  }
}

/** First what a process before us began; only then anything new. @returns ends it */
function tendLogins(parts: Parts): () => void {
  const { config, log, database, changes, credentialStore: store, own: refresher, journal } = parts
  const { providers } = config
  const sweeper = new Sweeper({ database, store, refresher, providers, changes, log })
  const stops = [() => sweeper.stop()]
  let isOver = false
  void finishBegun(refresher, log, () => isOver).then(() => {
    if (isOver) return
    stops.push(lookAfterRows(refresher, changes, log), tendJournal(journal, log))
    sweeper.start()
  })
  return () => {
    isOver = true
    for (const stop of stops) stop()
  }
}

/**
 * A key over all accounts needs to know all of them: they are read before its first call, which would wait for them.
 * Now, if there is such a key, else as soon as one is made, at whichever replica.
 */
export async function readAhead({
  database,
  configs,
  changes,
  log,
}: Pick<Parts, 'database' | 'configs' | 'log'> & {
  readonly changes: Pick<ChangeWatcher, 'onChange'>
}): Promise<void> {
  const read = async (ids?: readonly string[]) => {
    try {
      const isWanted = !configs.knowsAll && (await database.run((db) => isAnyKeyOverAll(db, ids)))
      if (isWanted) await configs.ofScope(null)
    } catch (error) {
      log.warn({ err: error }, 'the accounts could not be read ahead')
    }
  }
  changes.onChange((changed = []) => {
    const ids = changed.filter(({ kind }) => kind === 'key').map(({ id }) => id)
    if (ids.length > 0) void read(ids)
  })
  await read()
}

function startWebhook(parts: Parts, address: string): Webhook | undefined {
  const { config, log, database, changes, agents, loginLinks } = parts
  const { webhookUrl: url, webhookSecret: secret } = config
  if (!url || !secret) return undefined
  const webhook = new Webhook({
    database,
    clock: changes.clock,
    log,
    dispatcher: agents.of(),
    url,
    secret,
    loginLinks,
    address: config.publicUrl ?? address,
  })
  webhook.start()
  return webhook
}

/**
 * Lets go of everything, once nothing is under way any more. A database that is silent holds nobody up; an
 * authorization server does, for its answer would be lost.
 */
export async function closeParts({
  changes,
  usage,
  acceptances,
  keyUses,
  homes,
  refresher,
  own,
  journal,
  agents,
  loginAgents,
  upstreams,
  database,
}: Parts): Promise<void> {
  changes.stop()
  const lastWords = [
    usage.stop(),
    acceptances.stop(),
    keyUses.stop(),
    homes.stop(),
    refresher.idle(),
    own.idle(),
  ]
  await within(LAST_WORDS_MS, Promise.all(lastWords))
  await database.close() // what still waits for it fails
  await own.answered()
  journal.close()
  upstreams.destroy()
  await agents.destroy()
  await loginAgents.destroy()
}
