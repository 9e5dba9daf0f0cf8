/**
 * The ids of what an answer made beside itself, wherever in it they stand, by the names by which calls name them: a
 * container in which code ran, files that it wrote, speech.
 */
import type { IdSeeker } from './made-ids.ts'
import { idsIn } from './named-ids.ts'

/** A member that is cut in two is read again from its beginning. */
const OVERLAP = 1024
const MAX_IDS = 64

export class DeepIds implements IdSeeker {
  /** Beside those of the answer itself. */
  readonly #made: IdSeeker | undefined
  readonly #maxBytes: number
  readonly #known = new Set<string>()
  #tail = ''
  #bytes = 0
  isOver = false

  constructor(made: IdSeeker | undefined, maxBytes: number) {
    this.#made = made
    this.#maxBytes = maxBytes
  }

  push(bytes: Buffer, isLast: boolean): readonly string[] {
    const text = this.#tail + bytes.toString('latin1')
    this.#tail = text.slice(-OVERLAP)
    this.#bytes += bytes.length
    const made = this.#made?.isOver === false ? this.#made.push(bytes, isLast) : []
    const fresh = [...made, ...idsIn(text)].filter((id) => !this.#known.has(id))
    for (const id of fresh) this.#known.add(id)
    this.isOver = isLast || this.#bytes >= this.#maxBytes || this.#known.size >= MAX_IDS
    return fresh
  }
}
