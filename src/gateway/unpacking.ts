/**
 * Unpacks the beginning of a coded answer piece by piece, each byte once, in the thread pool.
 */
import type { Transform } from 'node:stream'
import { type Coding, codingOf, codingsOf } from '../base/content-codings.ts'

const NOTHING = Buffer.alloc(0)

export class Unpacking {
  readonly #name: string
  readonly #maxBytes: number
  #stream: Transform | undefined
  #out: Buffer[] = []
  #bytes = 0
  /** Nothing more can be read: it has ended, is longer, or is not in its coding. */
  isOver = false

  /** Undefined for what is not coded. Of an unknown coding, and of several, nothing is read. */
  static of(header: string | undefined, maxBytes: number): Unpacking | undefined {
    const names = codingsOf(header)
    return names.length === 0 ? undefined : new Unpacking(names.length === 1 ? names.join() : '', maxBytes)
  }

  private constructor(name: string, maxBytes: number) {
    this.#name = name
    this.#maxBytes = maxBytes
  }

  /** @param lent changes once this returns. @returns what it adds; never rejects */
  async push(lent: Buffer): Promise<Buffer> {
    if (this.isOver || lent.length === 0) return NOTHING
    this.#stream ??= this.#open(codingOf(this.#name, lent[0]))
    const stream = this.#stream
    if (!stream) return NOTHING
    const bytes = Buffer.from(lent)
    await new Promise<void>((resolve) => {
      stream.once('close', resolve)
      stream.write(bytes, () => {
        stream.off('close', resolve)
        resolve()
      })
    })
    const plain = Buffer.concat(this.#out)
    this.#out = []
    return plain
  }

  #open(coding: Coding | undefined): Transform | undefined {
    if (!coding) this.isOver = true
    const stream = coding?.stream()
    const stop = () => {
      this.isOver = true
      stream?.destroy()
    }
    stream?.on('data', (bytes: Buffer) => {
      this.#bytes += bytes.length
      this.#out.push(bytes)
      if (this.#bytes >= this.#maxBytes) stop()
    })
    return stream?.on('error', stop).on('end', stop)
  }
}
