/**
 * A serving process under a primary: answers calls, and asks the primary to refresh.
 */

import { buildApp } from '../app.ts'
import { closeParts, startStorage } from '../background.ts'
import type { Config } from '../base/config.ts'
import type { Logger } from '../base/log.ts'
import type { Secret } from '../base/secret.ts'
import { addressOf, closeHttp, listen } from '../broker.ts'
import type { Credential } from '../credential/credential.ts'
import type { Flight } from '../credential/refresh.ts'
import type { Outcome } from '../credential/refresh-machine.ts'
import { joinParts, type RefreshHooks, type Refreshing } from '../parts.ts'
import { type FromWorker, fromWire, type ToWorker, type WireOutcome } from './messages.ts'

/** Set by the primary: where the sandbox listens that it runs. */
export const SANDBOX_ORIGIN = 'TOKEN_BROKER_SANDBOX_ORIGIN'

export async function startWorker(config: Config, adminToken: Secret, log: Logger): Promise<void> {
  const channel = new Channel()
  const parts = joinParts(config, log, (hooks) => new RemoteRefresher(channel, config, hooks))
  const app = await buildApp(parts, adminToken, () => channel.ask({ ask: 'metrics' }) as Promise<string>)
  await startStorage(parts)
  await listen(app, config)
  app.open()
  let isStopping = false
  const stop = async (graceMs: number) => {
    if (isStopping) return
    isStopping = true
    await closeHttp(app, graceMs)
    await closeParts(parts)
    process.exit()
  }
  process.on('message', async (message: ToWorker) => {
    if (!('do' in message)) return
    if (message.do === 'drain') app.drain()
    if (message.do === 'stop') await stop(message.graceMs)
    if (message.do === 'count') {
      const counters = await parts.metrics.registry.getMetricsAsJSON()
      channel.tell({ tell: 'counters', id: message.id, counters })
    }
  })
  // Signals reach the whole process group of a terminal; the primary decides when its workers stop.
  process.on('SIGTERM', () => {})
  process.on('SIGINT', () => {})
  process.on('disconnect', () => void stop(0))
  channel.tell({ tell: 'ready', address: addressOf(app) })
}

type Question = { ask: 'metrics' } | { ask: 'refresh'; configId: string; version: number; isForced: boolean }

class Channel {
  readonly #waiting = new Map<number, (answer: WireOutcome | string) => void>()
  #asked = 0

  constructor() {
    process.on('message', (message: ToWorker) => {
      if (!('answer' in message)) return
      this.#waiting.get(message.answer)?.('outcome' in message ? message.outcome : message.metrics)
      this.#waiting.delete(message.answer)
    })
  }

  tell(message: FromWorker): void {
    process.send?.(message)
  }

  ask(question: Question): Promise<WireOutcome | string> {
    this.#asked += 1
    const id = this.#asked
    const answer = new Promise<WireOutcome | string>((resolve) => this.#waiting.set(id, resolve))
    this.tell({ ...question, id } as FromWorker)
    return answer
  }
}

/** One question to the primary for all callers of this process at the same time. */
class RemoteRefresher implements Refreshing {
  readonly #channel: Channel
  readonly #config: Config
  readonly #hooks: RefreshHooks
  readonly #flights = new Map<string, Flight>()

  constructor(channel: Channel, config: Config, hooks: RefreshHooks) {
    this.#channel = channel
    this.#config = config
    this.#hooks = hooks
  }

  refresh({ configId, version }: Pick<Credential, 'configId' | 'version'>, isForced = false): Flight {
    const running = this.#flights.get(configId)
    if (running) return running
    const outcome = this.#ask(configId, version, isForced).finally(() => this.#flights.delete(configId))
    const flight: Flight = { startedAt: Date.now(), outcome, done: outcome.then(() => undefined) }
    this.#flights.set(configId, flight)
    return flight
  }

  async idle(): Promise<void> {
    // What is under way goes on in the primary.
  }

  async #ask(configId: string, version: number, isForced: boolean): Promise<Outcome> {
    const answer = (await this.#channel.ask({ ask: 'refresh', configId, version, isForced })) as WireOutcome
    const outcome = fromWire(answer, this.#config.providers)
    if (outcome.kind === 'renewed') this.#hooks.publish(outcome.credential)
    if (outcome.kind === 'reauth_required') this.#hooks.forget(configId)
    return outcome
  }
}
