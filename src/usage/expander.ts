/**
 * Unpacks a copy of a compressed answer, beside the answer's own way: in the thread pool, bounded in what waits for
 * it and in what comes out. Beyond the bounds, and at what is not in that coding, it stops without a word.
 */
import type { Transform } from 'node:stream'
import { type Coding, codingOf, codingsOf } from '../base/content-codings.ts'

/** So much is gathered for one call of the thread pool; most answers are no more. */
const GATHERED_BYTES = 16 * 1024
const MAX_WAITING_BYTES = 1024 * 1024

export class Expander {
  readonly #name: string
  readonly #maxBytes: number
  readonly #take: (text: string) => void
  readonly #done = Promise.withResolvers<void>()
  #gathered: Buffer[] = []
  #gatheredBytes = 0
  #stream: Transform | undefined
  #bytesOut = 0
  isOver = false

  /** Undefined for a coding nobody knows, or several at once. */
  static for(coding: string, maxBytes: number, take: (text: string) => void): Expander | undefined {
    const [name = '', another] = codingsOf(coding)
    return another === undefined && codingOf(name) ? new Expander(name, maxBytes, take) : undefined
  }

  private constructor(name: string, maxBytes: number, take: (text: string) => void) {
    this.#name = name
    this.#maxBytes = maxBytes
    this.#take = take
  }

  /** @param text the bytes as latin1 */
  push(text: string): void {
    if (this.isOver) return
    this.#gathered.push(Buffer.from(text, 'latin1'))
    this.#gatheredBytes += text.length
    if (this.#gatheredBytes >= GATHERED_BYTES) this.#flush()
  }

  /** Nothing more comes. @param done is called once what there is has been taken */
  end(done: () => void): void {
    this.#flush()
    if (this.#stream && !this.isOver) this.#stream.end()
    else this.#stop()
    void this.#done.promise.then(done)
  }

  #flush(): void {
    const [first] = this.#gathered
    if (this.isOver || !first) return
    const bytes = this.#gathered.length === 1 ? first : Buffer.concat(this.#gathered)
    this.#gathered = []
    this.#gatheredBytes = 0
    this.#stream ??= this.#start(codingOf(this.#name, first[0]) as Coding) // it was known before
    this.#stream.write(bytes)
    if (this.#stream.writableLength > MAX_WAITING_BYTES) this.#stop()
  }

  #start(coding: Coding): Transform {
    const stream = coding.stream()
    stream.on('data', (bytes: Buffer) => {
      if (this.isOver) return
      this.#bytesOut += bytes.length
      this.#take(bytes.toString('latin1'))
      if (this.#bytesOut > this.#maxBytes) this.#stop()
    })
    stream.on('error', () => this.#stop())
    stream.on('close', () => this.#stop())
    stream.on('end', () => this.#stop())
    return stream
  }

  #stop(): void {
    this.isOver = true
    this.#gathered = []
    this.#stream?.destroy()
    this.#done.resolve()
  }
}
