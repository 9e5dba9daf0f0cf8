/**
 * `/responses`: made at once, as a stream or in the background, found again by their ids, cancelled and deleted.
 */
import type { FastifyInstance, FastifyReply } from 'fastify'
import { ApiError } from './api-error.ts'
import { readCall } from './body.ts'
import { sendEvents, sendPaced } from './event-stream.ts'
import type { Kept, ResponseStore } from './response-store.ts'
import { RESPONSE_REQUEST, responseEvents } from './responses.ts'

interface ById {
  Params: { id: string }
  Querystring: { stream?: string; starting_after?: string }
}

export function addResponses(scope: FastifyInstance, store: ResponseStore, model: string): void {
  scope.post('/responses', async ({ body }, reply) => {
    const call = readCall(body, RESPONSE_REQUEST, model)
    const { response, run } = store.make(call, (body as Buffer).length)
    if (run) return call.stream ? sendPaced(reply, run.events()) : run.response
    return call.stream ? sendEvents(reply, responseEvents(response)) : response
  })
  scope.get<ById>('/responses/:id', async ({ params, query }, reply) => {
    const kept = store.get(params.id)
    return query.stream === 'true' ? goOn(kept, query, reply) : (kept.run ?? kept).response
  })
  scope.get<ById>('/responses/:id/input_items', async ({ params }) => ({
    object: 'list',
    data: store.get(params.id).items.toReversed(),
    has_more: false,
  }))
  scope.post<ById>('/responses/:id/cancel', async ({ params }) => {
    const run = store.run(params.id)
    run.cancel()
    return run.response
  })
  scope.delete<ById>('/responses/:id', async ({ params }) => {
    const { id } = store.get(params.id).response
    store.delete(id)
    return { id, object: 'response', deleted: true }
  })
}

/** A stream that was broken off, from behind an event that was heard. @throws ApiError invalid_body | not_in_background */
function goOn({ run }: Kept, { starting_after }: ById['Querystring'], reply: FastifyReply): FastifyReply {
  if (!run) throw new ApiError('not_in_background')
  if (starting_after === undefined) return sendPaced(reply, run.events())
  if (!/^\d{1,9}$/.test(starting_after)) throw new ApiError('invalid_body', 'starting_after')
  return sendPaced(reply, run.events(Number(starting_after)))
}
