/**
 * Delivers events to a webhook: signed, at least once, by one replica at a time.
 *
 * The audit rows are the queue. A delivery is claimed by moving `next_delivery_at`; a process that dies in the
 * middle leaves the row to whoever looks next.
 */
import { createHmac } from 'node:crypto'
import { type Dispatcher, request } from 'undici'
import { type Clock, DAY, HOUR, SECOND } from '../base/clock.ts'
import { every } from '../base/every.ts'
import { reasonOf } from '../base/failure.ts'
import type { Logger } from '../base/log.ts'
import type { Secret } from '../base/secret.ts'
import { dueDeliveries, scheduleDelivery } from '../storage/audit-events.ts'
import type { Database } from '../storage/database.ts'
import type { AuditEventRow } from '../storage/tables.ts'
import type { LoginLinks } from './login-links.ts'

export interface WebhookParts {
  readonly database: Database
  readonly clock: Clock
  readonly log: Logger
  readonly dispatcher: Dispatcher
  readonly url: string
  readonly secret: Secret
  readonly loginLinks: Pick<LoginLinks, 'urlOf'>
  /** How people reach this broker. */
  readonly address: string
}

const LOOK_EVERY_MS = 2 * SECOND
const CLAIM_MS = 30 * SECOND
const TIMEOUT_MS = 10 * SECOND
const FIRST_RETRY_MS = 5 * SECOND
const MAX_RETRY_MS = HOUR
const MAX_TRIES = 12
/** Nobody wants to hear of last month when a webhook is set up today. */
const MAX_AGE_MS = DAY
const BATCH = 20
/** An answer is read so far, only so that its connection can be used again. */
const MAX_ANSWER_BYTES = 64 * 1024

export class Webhook {
  readonly #parts: WebhookParts
  #stop: (() => void) | undefined

  constructor(parts: WebhookParts) {
    this.#parts = parts
  }

  start(): void {
    this.#stop = every(LOOK_EVERY_MS, () =>
      this.deliverDue().catch((error: unknown) => this.#parts.log.warn({ err: error }, 'webhook')),
    )
  }

  stop(): void {
    this.#stop?.()
  }

  async deliverDue(): Promise<void> {
    const now = this.#parts.clock()
    const due = await dueDeliveries(this.#parts.database, { now, notBefore: now - MAX_AGE_MS, limit: BATCH })
    for (const event of due) {
      if (await scheduleDelivery(this.#parts.database, event, now + CLAIM_MS))
        await this.#deliver({ ...event, deliveries: event.deliveries + 1 })
    }
  }

  async #deliver(event: AuditEventRow): Promise<void> {
    const problem = await this.#post(event)
    if (!problem) return void (await scheduleDelivery(this.#parts.database, event, null))
    this.#parts.log.warn({ configId: event.config_id, why: problem }, 'webhook')
    const tries = Math.ceil(event.deliveries / 2) // each one is claimed, then concluded
    const pause = Math.min(FIRST_RETRY_MS * 2 ** tries, MAX_RETRY_MS)
    const isLast = tries >= MAX_TRIES
    await scheduleDelivery(this.#parts.database, event, isLast ? null : this.#parts.clock() + pause)
  }

  /** Undefined once delivered, else why not. */
  async #post(event: AuditEventRow): Promise<string | undefined> {
    const body = JSON.stringify({
      id: event.id,
      type: event.type,
      created_at: event.created_at,
      config: { id: event.config_id, name: event.config_name, provider: event.provider },
      reason: event.reason,
      login_url: (await this.#parts.loginLinks.urlOf(event, this.#parts.address)) ?? null,
    })
    const timestamp = Math.floor(Date.now() / 1000)
    try {
      const answer = await request(this.#parts.url, {
        method: 'POST',
        dispatcher: this.#parts.dispatcher,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          'content-type': 'application/json',
          'x-token-broker-timestamp': String(timestamp),
          'x-token-broker-signature': `v1=${sign(this.#parts.secret, timestamp, body)}`,
        },
        body,
      })
      await answer.body.dump({ limit: MAX_ANSWER_BYTES })
      return answer.statusCode < 300 ? undefined : `status ${answer.statusCode}`
    } catch (error) {
      return reasonOf(error, TIMEOUT_MS)
    }
  }
}

/** HMAC-SHA256 in hex over `timestamp.body`; the receiver checks both, so that a recording cannot be replayed. */
export function sign(secret: Secret, timestamp: number, body: string): string {
  return createHmac('sha256', secret.reveal()).update(`${timestamp}.${body}`).digest('hex')
}
