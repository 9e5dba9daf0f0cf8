/**
 * Unpacks a copy of a compressed answer, beside the answer's own way: in the thread pool, bounded in what waits for
 * it and in what comes out. Beyond the bounds, and at what is not in that coding, it stops without a word.
 */
import type { Transform } from 'node:stream'
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from 'node:zlib'

/** So much is gathered for one call of the thread pool; most answers are no more. */
const GATHERED_BYTES = 16 * 1024
const MAX_WAITING_BYTES = 1024 * 1024

/** Given the first byte. */
const CODINGS: Readonly<Record<string, (first: number) => Transform>> = {
  gzip: () => createGunzip(),
  'x-gzip': () => createGunzip(),
  br: () => createBrotliDecompress(),
  zstd: () => createZstdDecompress(),
  // zlib's format (RFC 9110 §8.4.1.2), though some send the bare one. The method in the first half byte is 8.
  deflate: (first) => ((first & 0x0f) === 8 ? createInflate() : createInflateRaw()),
}

export class Expander {
  readonly #open: (first: number) => Transform
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
    const name = coding.trim().toLowerCase()
    const open = Object.hasOwn(CODINGS, name) ? CODINGS[name] : undefined
    return open && new Expander(open, maxBytes, take)
  }

  private constructor(open: (first: number) => Transform, maxBytes: number, take: (text: string) => void) {
    this.#open = open
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
    this.#stream ??= this.#start(bytes[0] ?? 0)
    this.#stream.write(bytes)
    if (this.#stream.writableLength > MAX_WAITING_BYTES) this.#stop()
  }

  #start(first: number): Transform {
    const stream = this.#open(first)
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
