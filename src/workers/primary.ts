/**
 * The process that supervises `WORKERS` serving ones.
 *
 * Refreshes run here, so that a serving process that crashes cannot interrupt one, and one flight serves all.
 */
import cluster, { type Worker } from 'node:cluster'
import { AggregatorRegistry } from 'prom-client'
import { closeParts, startBackground, startStorage } from '../background.ts'
import { SECOND, within } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Broker } from '../broker.ts'
import { joinParts, type Parts } from '../parts.ts'
import type { Config } from '../settings/config.ts'
import { type FromWorker, type ToWorker, toWire } from './messages.ts'
import { Pulse } from './pulse.ts'
import { SANDBOX_ORIGIN } from './worker.ts'

const RESTART_MS = SECOND
const COUNT_TIMEOUT_MS = SECOND
/** Closing connections and database takes a moment beyond the grace of calls. */
const STOP_MARGIN_MS = 10 * SECOND

/** Resolves once every worker is told to serve. */
export async function startPrimary(
  config: Config,
  log: Logger,
  sandboxOrigin: string | undefined,
): Promise<Broker> {
  const parts = joinParts(config, log)
  await startStorage(parts)
  const crew = new Crew(config, parts, log, sandboxOrigin)
  const address = await crew.start()
  const background = startBackground(parts, address)
  // Not before: until then a signal ends this process at once, and calls with it.
  crew.open()
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
  readonly #pulse = new Pulse((worker) => {
    this.#log.error({ count: this.#serving.size }, 'a worker stands still; it is ended')
    worker.process.kill('SIGKILL') // a stopped process hears nothing else
  })
  #counts = 0
  #isOpen = false
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
      // One that ended by itself may do so again, and at once.
      setTimeout(() => this.#replace(), worker.process.signalCode === 'SIGKILL' ? 0 : RESTART_MS)
    })
    this.#pulse.start()
    return addresses[0] ?? ''
  }

  /** From now on calls are answered. */
  open(): void {
    this.#isOpen = true
    this.tell({ do: 'open' })
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
    this.#pulse.stop()
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
        this.#pulse.watch(worker)
        if (this.#isOpen) reply(worker, { do: 'open' })
        resolve(message.address)
      })
      worker.once('exit', (code) => reject(new Error(`a worker ended at its start (${code})`)))
    })
  }

  #hear(worker: Worker, message: FromWorker): void {
    this.#pulse.felt(worker)
    if ('ask' in message && message.ask === 'refresh') void this.#refresh(worker, message)
    else if ('ask' in message)
      void this.#sum().then((metrics) => reply(worker, { answer: message.id, metrics }))
    else if ('tell' in message && message.tell === 'counters')
      this.#counting.get(message.id)?.(message.counters)
  }

  async #refresh(worker: Worker, asked: Extract<FromWorker, { ask: 'refresh' }>): Promise<void> {
    const { own } = this.#parts
    const { configId, loginAt, version, how } = asked
    const subject = { configId, loginAt, version }
    const flight = how === 'put right' ? own.putRight(subject) : own.refresh(subject, how === 'forced')
    const outcome = await flight.outcome
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
