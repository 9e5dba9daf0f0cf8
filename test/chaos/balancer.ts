/**
 * A balancer that knows beforehand which broker is to be stopped: that one answers what it has, and gets no more.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Broker } from './broker.ts'

const POLL_MS = 10

export class Balancer {
  readonly #serving: Set<Broker>
  readonly #underWay = new Map<Broker, number>()
  #turn = 0

  constructor(brokers: readonly Broker[]) {
    this.#serving = new Set(brokers)
  }

  /** To one of those that serve, in turn. */
  async send<T>(call: (broker: Broker) => Promise<T>): Promise<T> {
    this.#turn += 1
    const broker = [...this.#serving][this.#turn % this.#serving.size]
    if (!broker) throw new Error('no broker serves')
    this.#count(broker, 1)
    return call(broker).finally(() => this.#count(broker, -1))
  }

  /** Resolves when nothing is under way at it any more. */
  async takeOut(broker: Broker): Promise<void> {
    this.#serving.delete(broker)
    while ((this.#underWay.get(broker) ?? 0) > 0) await sleep(POLL_MS)
  }

  putBack(broker: Broker): void {
    this.#serving.add(broker)
  }

  #count(broker: Broker, change: number): void {
    this.#underWay.set(broker, (this.#underWay.get(broker) ?? 0) + change)
  }
}
