/**
 * An answer's way through a gate: a piece that must not be known yet waits, with all that comes behind it.
 */
import type { BrokerError } from '../base/errors.ts'
import type { Sink } from '../upstream/call.ts'

/** Is shown each piece; undefined: it may go on at once. Never rejects. */
export type Gate = (bytes: Buffer) => Promise<void> | undefined

export class HeldSink implements Sink {
  readonly #sink: Sink
  readonly #gate: Gate
  readonly #resume: () => void
  /** What waits behind a piece that does; undefined while none does. */
  #held: Buffer[] | undefined
  #last: (() => void) | undefined

  /** @param resume is called when more may come */
  constructor(sink: Sink, gate: Gate, resume: () => void) {
    this.#sink = sink
    this.#gate = gate
    this.#resume = resume
  }

  chunk(bytes: Buffer): boolean {
    if (!this.#held) return this.#show(bytes)
    this.#held.push(Buffer.from(bytes))
    return false
  }

  end(): void {
    if (this.#held) this.#last = () => this.#sink.end()
    else this.#sink.end()
  }

  fail(error: BrokerError): void {
    if (this.#held) this.#last = () => this.#sink.fail(error)
    else this.#sink.fail(error)
  }

  /** @returns whether more may come */
  #show(bytes: Buffer): boolean {
    const opened = this.#gate(bytes)
    if (!opened) return this.#sink.chunk(bytes)
    const shown = Buffer.from(bytes)
    this.#held = []
    void opened.then(() => this.#release(shown))
    return false
  }

  #release(shown: Buffer): void {
    const held = this.#held ?? []
    this.#held = undefined
    let takesMore = this.#sink.chunk(shown)
    for (const [index, bytes] of held.entries()) {
      takesMore = this.#show(bytes)
      if (!this.#held) continue
      this.#held = held.slice(index + 1)
      return
    }
    if (this.#last) this.#last()
    else if (takesMore) this.#resume()
  }
}
