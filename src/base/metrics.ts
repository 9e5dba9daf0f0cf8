/**
 * What the broker counts, for Prometheus (`GET /metrics`).
 *
 * The hot path adds to plain numbers; prom-client reads them only when somebody asks.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'

type StatusClass = '1xx' | '2xx' | '3xx' | '4xx' | '5xx'
const CLASSES: readonly StatusClass[] = ['1xx', '2xx', '3xx', '4xx', '5xx']

export class Metrics {
  readonly #registry = new Registry()
  #isRead = false
  /** Calls below /v1 by status class; index 0 is 1xx. */
  readonly #answers = [0, 0, 0, 0, 0]
  openCalls = 0
  abandonedCalls = 0
  brokenStreams = 0
  replays = 0
  readonly #refreshes = new Map<string, number>()

  constructor() {
    const registry = this.#registry
    const read = (name: string, help: string, value: () => number) =>
      new Gauge({
        name,
        help,
        registers: [registry],
        collect: function () {
          this.set(value())
        },
      })
    read('token_broker_open_calls', 'Calls below /v1 under way', () => this.openCalls)
    const answers = this.#answers
    new Counter({
      name: 'token_broker_answers_total',
      help: 'Answers to calls below /v1, by status class',
      labelNames: ['status'],
      registers: [registry],
      collect() {
        this.reset()
        for (const [index, status] of CLASSES.entries()) this.inc({ status }, answers[index] ?? 0)
      },
    })
    this.#count(
      'token_broker_abandoned_calls_total',
      'Calls whose client left early',
      () => this.abandonedCalls,
    )
    this.#count('token_broker_broken_streams_total', 'Answers upstream broke off', () => this.brokenStreams)
    this.#count('token_broker_replays_total', 'Calls sent a second time after a 401', () => this.replays)
    const refreshes = this.#refreshes
    new Counter({
      name: 'token_broker_refreshes_total',
      help: 'Refreshes this process took part in, by outcome',
      labelNames: ['outcome'],
      registers: [registry],
      collect() {
        this.reset()
        for (const [outcome, count] of refreshes) this.inc({ outcome }, count)
      },
    })
  }

  /** To be read from. What tells of the process begins then: to measure its turns it would be woken a hundred times a second. */
  get registry(): Registry {
    if (!this.#isRead) collectDefaultMetrics({ register: this.#registry })
    this.#isRead = true
    return this.#registry
  }

  answered(status: number): void {
    const index = Math.floor(status / 100) - 1
    this.#answers[index] = (this.#answers[index] ?? 0) + 1
  }

  refreshed(outcome: string): void {
    this.#refreshes.set(outcome, (this.#refreshes.get(outcome) ?? 0) + 1)
  }

  #count(name: string, help: string, value: () => number): void {
    new Counter({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.reset()
        this.inc(value())
      },
    })
  }
}
