/**
 * Writes that can wait a few seconds, and of which only the last counts: noted by id, and made one after the other.
 *
 * Noting is an assignment in a map: the hot path. What cannot be written stays noted, behind all others, so that one
 * row that is locked holds up no other; only a process that is killed takes its last seconds with it.
 */
import type { Logger } from '../base/log.ts'
import { RepeatedWrite } from './repeated-write.ts'

export interface LateWrites<Note> {
  /** What is written, in words, for the log. */
  readonly what: string
  readonly write: (notes: readonly (readonly [id: string, note: Note])[]) => Promise<void>
  /** How many are written at once. */
  readonly atOnce: number
  readonly log: Logger
}

export class WriteBehind<Note> extends RepeatedWrite {
  readonly #writes: LateWrites<Note>
  #noted = new Map<string, Note>()

  constructor(writes: LateWrites<Note>) {
    super()
    this.#writes = writes
  }

  /** How many are noted, and not being written. */
  get size(): number {
    return this.#noted.size
  }

  note(id: string, note: Note): void {
    this.#noted.set(id, note)
  }

  protected override async writeAll(): Promise<void> {
    const { write, atOnce, what, log } = this.#writes
    const rest = [...this.#noted]
    this.#noted = new Map()
    while (rest.length > 0) {
      const next = rest.splice(0, atOnce)
      try {
        await write(next)
      } catch (error) {
        log.warn({ err: error, count: rest.length + next.length }, `${what} could not be stored yet`)
        this.#noted = new Map([...rest, ...next, ...this.#noted])
        return
      }
    }
  }
}
