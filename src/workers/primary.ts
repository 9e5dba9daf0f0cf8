/**
 * The process that supervises `WORKERS` serving ones.
 *
 * Refreshes run here, so that a serving process that crashes cannot interrupt one, and one flight serves all.
 */
import cluster, { type Worker } from 'node:cluster'
import { AggregatorRegistry } from 'prom-client'
import { closeParts, startBackground, startStorage } from '../background.ts'
import { SECOND, within } from '../base/clock.ts'
import type { Config } from '../base/config.ts'
import type { Logger } from '../base/log.ts'
import type { Broker } from '../broker.ts'
import { joinParts, type Parts } from '../parts.ts'
import { type FromWorker, type ToWorker, toWire } from './messages.ts'
import { SANDBOX_ORIGIN } from './worker.ts'

const RESTART_MS = SECOND
const COUNT_TIMEOUT_MS = SECOND
/** Closing connections and database takes a moment beyond the grace of calls. */
const STOP_MARGIN_MS = 10 * SECOND

/** Resolves once every worker serves. */
export async function startPrimary(
  config: Config,
  log: Logger,
  sandboxOrigin: string | undefined,
): Promise<Broker> {
  const parts = joinParts(config, log)
  await startStorage(parts)
  const crew = new Crew(config, parts, log, sandboxOrigin)
  const address = await crew.start()
  const background = await startBackground(parts, address)
  return {
    address,
    drain: () => crew.tell({ do: 'drain' }),
    async close(graceMs) {
      await crew.stop(graceMs)
      background.stop()
      await closeParts(parts)
    },
  }
}

class Crew {
  readonly #config: Config
  readonly #parts: Parts
  readonly #log: Logger
  readonly #environment: Record<string, string>
  readonly #counting = new Map<number, (counters: object[]) => void>()
  /** Ids of the workers that answer calls. */
  readonly #serving = new Set<number>()
  #counts = 0
  #isStopping = false

  constructor(config: Config, parts: Parts, log: Logger, sandboxOrigin: string | undefined) {
    this.#config = config
    this.#parts = parts
    this.#log = log
    this.#environment = sandboxOrigin === undefined ? {} : { [SANDBOX_ORIGIN]: sandboxOrigin }
    cluster.on('message', (worker, message: FromWorker) => this.#hear(worker, message))
  }

  /** Where all of them listen. */
  async start(): Promise<string> {
    const addresses = await Promise.all(Array.from({ length: this.#config.workers }, () => this.#hire()))
    cluster.on('exit', (worker, code) => {
      if (this.#isStopping) return
      this.#log.error(
        { code, count: Object.keys(cluster.workers ?? {}).length },
        'a worker ended; starting another',
      )
      this.#serving.delete(worker.id)
      setTimeout(() => this.#replace(), RESTART_MS)
    })
    return addresses[0] ?? ''
  }

  tell(message: ToWorker): void {
    for (const worker of crew()) worker.send(message)
  }

  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true
    const ended = crew().map((worker) => new Promise((resolve) => worker.once('exit', resolve)))
    for (const worker of crew()) {
      if (this.#serving.has(worker.id)) reply(worker, { do: 'stop', graceMs })
      else worker.process.kill('SIGKILL') // still starting, it would not hear us
    }
    const last = setTimeout(() => {
      for (const worker of crew()) worker.process.kill('SIGKILL')
    }, graceMs + STOP_MARGIN_MS)
    await Promise.all(ended)
    clearTimeout(last)
  }

  #replace(): void {
    if (this.#isStopping) return
    this.#hire().catch((error: unknown) => this.#log.error({ err: error }, 'a worker did not start'))
  }

  #hire(): Promise<string> {
    const worker = cluster.fork(this.#environment)
    return new Promise((resolve, reject) => {
      worker.on('message', (message: FromWorker) => {
        if (!('tell' in message) || message.tell !== 'ready') return
        this.#serving.add(worker.id)
        resolve(message.address)
      })
      worker.once('exit', (code) => reject(new Error(`a worker ended at its start (${code})`)))
    })
  }

  #hear(worker: Worker, message: FromWorker): void {
    if ('ask' in message && message.ask === 'refresh') void this.#refresh(worker, message)
    else if ('ask' in message)
      void this.#sum().then((metrics) => reply(worker, { answer: message.id, metrics }))
    else if (message.tell === 'counters') this.#counting.get(message.id)?.(message.counters)
  }

  async #refresh(worker: Worker, asked: Extract<FromWorker, { ask: 'refresh' }>): Promise<void> {
    const outcome = await this.#parts.own.refresh(asked, asked.isForced).outcome
    reply(worker, { answer: asked.id, outcome: toWire(outcome) })
  }

  /** The counters of all processes, added up. */
  async #sum(): Promise<string> {
    const mine = await this.#parts.metrics.registry.getMetricsAsJSON()
    const theirs = await Promise.all(crew().map((worker) => this.#count(worker)))
    const all = [mine, ...theirs.filter((counters) => counters !== undefined)]
    return AggregatorRegistry.aggregate(all as object[][] as object[]).metrics()
  }

  #count(worker: Worker): Promise<object[] | undefined> {
    this.#counts += 1
    const id = this.#counts
    const counters = new Promise<object[]>((resolve) => this.#counting.set(id, resolve))
    reply(worker, { do: 'count', id })
    return within(COUNT_TIMEOUT_MS, counters).finally(() => this.#counting.delete(id))
  }
}

function crew(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined)
}

/** It may have ended meanwhile. */
function reply(worker: Worker, message: ToWorker): void {
  if (worker.isConnected()) worker.send(message)
}
