/**
 * Callers, and what became of their calls.
 */
import { setTimeout as sleep } from 'node:timers/promises'

export interface Call {
  /** From `performance.now()`. */
  readonly startedAt: number
  readonly ms: number
  /** 0: no answer at all. */
  readonly status: number
  /** The broker's or upstream's error code. */
  readonly code: string | undefined
}

type Send = () => Promise<{ status: number; body: Readonly<Record<string, unknown>> }>

export async function callOnce(send: Send): Promise<Call> {
  const startedAt = performance.now()
  const end = (status: number, code: string | undefined): Call => ({
    startedAt,
    ms: performance.now() - startedAt,
    status,
    code,
  })
  try {
    const { status, body } = await send()
    return end(status, (body['error'] as { code?: string } | undefined)?.code)
  } catch (error) {
    const { code, cause } = error as { code?: string; cause?: { code?: string } }
    return end(0, code ?? cause?.code ?? String(error))
  }
}

/** Calls that do not wait for each other, `perSecond` of them, until stopped. */
export class Load {
  readonly calls: Call[] = []
  readonly #open = new Set<Promise<void>>()
  readonly #done: Promise<void>
  #isStopped = false

  constructor(perSecond: number, send: Send) {
    this.#done = this.#run(1000 / perSecond, send)
  }

  /** Resolves when the last call is answered. */
  async stop(): Promise<Call[]> {
    this.#isStopped = true
    await this.#done
    await Promise.all(this.#open)
    return this.calls
  }

  async #run(pauseMs: number, send: Send): Promise<void> {
    const startedAt = performance.now()
    for (let sent = 0; !this.#isStopped; sent += 1) {
      const call = callOnce(send).then((result) => {
        this.calls.push(result)
        this.#open.delete(call)
      })
      this.#open.add(call)
      await sleep(Math.max(0, startedAt + (sent + 1) * pauseMs - performance.now()))
    }
  }
}

export function isFailed({ status }: Call): boolean {
  return status !== 200
}

/** "none", or what went wrong and how often, e.g. "503 refresh_unavailable × 3". */
export function failuresOf(calls: readonly Call[]): string {
  const kinds = new Map<string, number>()
  for (const call of calls.filter(isFailed)) {
    const kind = `${call.status} ${call.code ?? ''}`.trim()
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  }
  return [...kinds].map(([kind, count]) => `${kind} × ${count}`).join(', ') || 'none'
}

/** @param share 0.99 for p99 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
}

export function slowest(calls: readonly Call[]): number {
  return calls.reduce((worst, { ms }) => Math.max(worst, ms), 0)
}
