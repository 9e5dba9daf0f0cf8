/**
 * Log lines on their way to a file descriptor: gathered, because a system call a line would cost as much as the line,
 * and never waited for. A disk that is full or a reader that is gone or stuck costs lines, not the broker.
 */
import { writeSync } from 'node:fs'
import { every } from './every.ts'

const GATHERED_CHARACTERS = 16_384
const LONGEST_MS = 500
/** What a stuck reader is owed at most; lines beyond are lost. */
const MAX_OWED_BYTES = 256 * 1024

export class LineWriter {
  readonly #fd: number
  #gathered = ''
  /** Begun, but not taken by the other side yet. */
  #owed: Buffer | undefined

  constructor(fd: number) {
    this.#fd = fd
    every(LONGEST_MS, () => this.flush())
  }

  write(line: string): void {
    if (this.#owed && this.#owed.length > MAX_OWED_BYTES) return
    this.#gathered += line
    if (this.#gathered.length >= GATHERED_CHARACTERS) this.flush()
  }

  /** Tries once. */
  flush(): void {
    const newer = Buffer.from(this.#gathered)
    const bytes = this.#owed ? Buffer.concat([this.#owed, newer]) : newer
    this.#gathered = ''
    this.#owed = undefined
    if (bytes.length === 0) return
    try {
      const taken = writeSync(this.#fd, bytes)
      if (taken < bytes.length) this.#owed = bytes.subarray(taken)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') this.#owed = bytes
    }
  }
}
