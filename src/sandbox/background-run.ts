/**
 * A response that is made whether or not anybody waits: it is queued, then comes event by event, until it is over or
 * cancelled. Whoever asks hears how far it is by now.
 */
import { sleep } from '../base/clock.ts'
import { PAUSE_MS, type TypedEvent } from './event-stream.ts'
import { type Response, responseEvents, unfinished } from './responses.ts'

const QUEUED_MS = 500

export class BackgroundRun {
  readonly #response: Response
  readonly #events: readonly TypedEvent[]
  readonly #firstAt: number
  readonly #startedAt = performance.now()
  /** Events that had happened. */
  #cancelledAfter: number | undefined

  constructor(response: Response) {
    this.#response = response
    this.#events = responseEvents(response)
    this.#firstAt = this.#events.findIndex(({ type }) => type === 'response.in_progress')
  }

  /** As it is now. */
  get response() {
    const happened = this.#happened()
    if (this.#cancelledAfter !== undefined) return unfinished(this.#response, 'cancelled')
    if (happened === this.#events.length) return this.#response
    return unfinished(this.#response, happened > this.#firstAt ? 'in_progress' : 'queued')
  }

  /** One that is over stays as it is. */
  cancel(): void {
    const happened = this.#happened()
    if (happened < this.#events.length) this.#cancelledAfter ??= happened
  }

  /** Each when it happens; none behind the last before it was cancelled. */
  async *events(startingAfter = -1): AsyncGenerator<TypedEvent> {
    for (let index = startingAfter + 1; index < this.#events.length; index += 1) {
      const waitMs = this.#startedAt + this.#dueMs(index) - performance.now()
      if (waitMs > 0 && this.#cancelledAfter === undefined) await sleep(waitMs)
      if (index >= (this.#cancelledAfter ?? this.#events.length)) return
      yield this.#events[index] as TypedEvent
    }
  }

  #happened(): number {
    const elapsedMs = performance.now() - this.#startedAt
    let count = this.#firstAt
    while (count < this.#events.length && this.#dueMs(count) <= elapsedMs) count += 1
    return count
  }

  #dueMs(index: number): number {
    return index < this.#firstAt ? 0 : QUEUED_MS + (index - this.#firstAt) * PAUSE_MS
  }
}
