/**
 * A serving process under a primary: answers calls, and asks the primary to refresh.
 */
import { buildApp } from '../app.ts'
import { closeParts, readAhead, startStorage } from '../background.ts'
import { every } from '../base/every.ts'
import type { Logger } from '../base/log.ts'
import type { Secret } from '../base/secret.ts'
import type { Flight, Subject } from '../credential/refresh.ts'
import type { Outcome } from '../credential/refresh-step.ts'
import { addressOf, closeHttp, listen } from '../http/listen.ts'
import { joinParts, type RefreshHooks, type Refreshing } from '../parts.ts'
import type { Config } from '../settings/config.ts'
import {
  BEAT_MS,
  type FromWorker,
  fromWire,
  type HowToRefresh,
  type ToWorker,
  type WireOutcome,
} from './messages.ts'

/** Set by the primary: where the sandbox listens that it runs. */
export const SANDBOX_ORIGIN = 'TOKEN_BROKER_SANDBOX_ORIGIN'

export async function startWorker(config: Config, adminToken: Secret, log: Logger): Promise<void> {
  const channel = new Channel()
  const parts = joinParts(config, log, (hooks) => new RemoteRefresher(channel, config, hooks))
  const app = await buildApp(parts, adminToken, () => channel.ask({ ask: 'metrics' }) as Promise<string>)
  await startStorage(parts)
  await listen(app, config)
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
    if (message.do === 'open') {
      app.open()
      void readAhead(parts)
    }
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
  every(BEAT_MS, () => channel.tell({ tell: 'alive' }))
}

type Question = { ask: 'metrics' } | ({ ask: 'refresh'; how: HowToRefresh } & Subject)

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

  refresh(credential: Subject, isForced = false): Flight {
    return this.#fly(credential, isForced ? 'forced' : 'due')
  }

  putRight(known: Subject): Flight {
    return this.#fly(known, 'put right')
  }

  #fly({ configId, loginAt, version }: Subject, how: HowToRefresh): Flight {
    const running = this.#flights.get(configId)
    if (running) return running
    const asked = this.#ask({ configId, loginAt, version }, how)
    const outcome = asked.finally(() => this.#flights.delete(configId))
    const flight: Flight = { startedAt: Date.now(), outcome, done: outcome.then(() => undefined) }
    this.#flights.set(configId, flight)
    return flight
  }

  async idle(): Promise<void> {
    // What is under way goes on in the primary.
  }

  async #ask(subject: Subject, how: HowToRefresh): Promise<Outcome> {
    const answer = (await this.#channel.ask({ ask: 'refresh', how, ...subject })) as WireOutcome
    const outcome = fromWire(answer, this.#config.providers)
    if (outcome.kind === 'renewed') this.#hooks.publish(outcome.credential)
    if (outcome.kind === 'reauth_required') this.#hooks.forget(subject.configId)
    return outcome
  }
}
