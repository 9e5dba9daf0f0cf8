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
  /** What waits, while anything does. */
  #held: Buffer[] | undefined
  #last: (() => void) | undefined

  /** @param resume is called when more may come */
  constructor(sink: Sink, gate: Gate, resume: () => void) {
    this.#sink = sink
    this.#gate = gate
    this.#resume = resume
  }

  chunk(bytes: Buffer): boolean {
    if (!this.#held) {
      const opened = this.#gate(bytes)
      if (!opened) return this.#sink.chunk(bytes)
      this.#held = []
      void opened.then(() => this.#release())
    }
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

  #release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    let takesMore = true
    for (const bytes of held) takesMore = this.#sink.chunk(bytes)
    if (this.#last) this.#last()
    else if (takesMore) this.#resume()
  }
}
