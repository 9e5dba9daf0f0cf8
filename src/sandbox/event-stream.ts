/**
 * Server-sent events at the pace of a model that thinks.
 */
import { Readable } from 'node:stream'
import { sleep } from '../base/clock.ts'
import { serverSentEvent } from '../base/server-sent-events.ts'

const PAUSE_MS = 20

/** One event per object, then the `[DONE]` that ends a stream in OpenAI's dialect. */
export function eventStream(events: readonly object[]): Readable {
  async function* lines() {
    for (const [index, event] of events.entries()) {
      if (index > 0) await sleep(PAUSE_MS)
      yield serverSentEvent(event)
    }
    yield 'data: [DONE]\n\n'
  }
  return Readable.from(lines())
}
