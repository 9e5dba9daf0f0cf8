/**
 * What goes on without anybody asking: finishing what a process before us began, sweeping, delivering events.
 *
 * Runs once per replica: in the only process, or in the primary of several.
 */
import { sleep } from './base/clock.ts'
import { BrokerError } from './base/errors.ts'
import { Sweeper } from './credential/sweeper.ts'
import { Webhook } from './event/webhook.ts'
import type { Parts } from './parts.ts'
import { migrate } from './storage/migrate.ts'
import type { AuditEventRow } from './storage/tables.ts'

export interface Background {
  stop(): void
}

const RETRY_MS = 1_000

/** Migrates and begins to watch for changes; tries again while the database is away. */
export async function startStorage({ database, changes, usage, log }: Parts): Promise<void> {
  for (;;) {
    try {
      const done = await migrate(database)
      if (done.length > 0) log.info({ migrations: done }, 'migrated')
      await changes.start()
      return usage.start()
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      log.warn({ err: error }, 'the database cannot be reached yet')
      await sleep(RETRY_MS)
    }
  }
}

/** @param address how people reach this broker where PUBLIC_URL does not say */
export async function startBackground(parts: Parts, address: string): Promise<Background> {
  const { config, log, database, changes, credentialStore: store, own: refresher, sessions } = parts
  await refresher.recover()
  sessions.startSweeping()
  const sweeper = new Sweeper({
    database,
    store,
    refresher,
    providers: config.providers,
    clock: changes.clock,
    log,
  })
  sweeper.start()
  const webhook = startWebhook(parts, address)
  return {
    stop() {
      sessions.stopSweeping()
      sweeper.stop()
      webhook?.stop()
    },
  }
}

function startWebhook(parts: Parts, address: string): Webhook | undefined {
  const { config, log, database, changes, dispatcher, loginLinks } = parts
  const { webhookUrl: url, webhookSecret: secret } = config
  if (!url || !secret) return undefined
  const loginUrl = async (event: AuditEventRow) => {
    const isLogin = config.providers.get(event.provider)?.kind === 'device_code'
    if (!isLogin || event.type !== 'credential.reauth_required') return undefined
    return `${config.publicUrl ?? address}/login/${await loginLinks.create(event.config_id)}`
  }
  const webhook = new Webhook({ database, clock: changes.clock, log, dispatcher, url, secret, loginUrl })
  webhook.start()
  return webhook
}

/** Lets go of everything, once nothing is under way any more. */
export async function closeParts({
  changes,
  usage,
  refresher,
  own,
  journal,
  dispatcher,
  upstreams,
  database,
}: Parts): Promise<void> {
  changes.stop()
  await usage.stop()
  await refresher.idle()
  await own.idle()
  journal.close()
  upstreams.destroy()
  await dispatcher.destroy()
  await database.close()
}
