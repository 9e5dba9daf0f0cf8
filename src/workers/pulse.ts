/**
 * Notices workers that stand still: stopped ones within four seconds, ones that are merely busy only much later.
 *
 * A stopped worker keeps the connections it has, and is given one more (the primary hands on the next when the last
 * was taken); they end with it. Beats are counted, not time: while this process itself does not run none is missed.
 */
import type { Worker } from 'node:cluster'
import { readFileSync } from 'node:fs'
import { every } from '../base/every.ts'
import { BEAT_MS } from './messages.ts'

/** Three seconds without a word, of a process that the system says is stopped, or of which it says nothing. */
const MAX_MISSED = 6
/** Half a minute: nothing that answers calls is busy for so long. */
const MAX_MISSED_BUSY = 60

export class Pulse {
  readonly #missed = new Map<Worker, number>()
  readonly #lost: (worker: Worker) => void
  #stop: (() => void) | undefined

  /** @param lost told once of a worker that stands still */
  constructor(lost: (worker: Worker) => void) {
    this.#lost = lost
  }

  start(): void {
    this.#stop = every(BEAT_MS, () => this.#look())
  }

  stop(): void {
    this.#stop?.()
  }

  watch(worker: Worker): void {
    this.#missed.set(worker, 0)
    worker.once('exit', () => this.#missed.delete(worker))
  }

  felt(worker: Worker): void {
    if (this.#missed.has(worker)) this.#missed.set(worker, 0)
  }

  #look(): void {
    for (const [worker, missed] of this.#missed) {
      this.#missed.set(worker, missed + 1)
      if (missed < MAX_MISSED || (missed < MAX_MISSED_BUSY && isRunning(worker.process.pid))) continue
      this.#missed.delete(worker)
      this.#lost(worker)
    }
  }
}

/** Whether the system (Linux: proc_pid_stat(5)) says that a process is not stopped. */
function isRunning(pid: number | undefined): boolean {
  try {
    return !/^\d+ \(.*\) [Tt] /s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
