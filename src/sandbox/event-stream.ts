/**
 * Server-sent events at the pace of a model that thinks.
 */
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { sleep } from '../base/clock.ts'
import { serverSentEvent } from '../base/server-sent-events.ts'

export const PAUSE_MS = 20
/** What ends a stream of chat and text completions. */
export const DONE = 'data: [DONE]\n\n'

/** Of the APIs whose events have types, which are also their names. */
export interface TypedEvent {
  readonly type: string
  readonly [member: string]: unknown
}

/** One event per object. */
export function sendEvents(reply: FastifyReply, events: readonly object[], end = ''): FastifyReply {
  return sendPaced(reply, paced(events), end)
}

/** @param events at the pace at which they are to be sent */
export function sendPaced(reply: FastifyReply, events: AsyncIterable<object>, end = ''): FastifyReply {
  async function* lines() {
    for await (const event of events)
      yield serverSentEvent(event, 'type' in event ? String(event.type) : undefined)
    if (end !== '') yield end
  }
  return reply
    .type('text/event-stream; charset=utf-8')
    .header('cache-control', 'no-cache')
    .send(Readable.from(lines()))
}

export async function* paced<Event>(events: readonly Event[]): AsyncGenerator<Event> {
  for (const [index, event] of events.entries()) {
    if (index > 0) await sleep(PAUSE_MS)
    yield event
  }
}
