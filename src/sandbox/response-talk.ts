/**
 * `/responses` over a WebSocket, as Codex uses it: each message `response.create` is a request, whose events come as
 * those of a stream. What is not stored is known to its connection. `generate: false` only prepares what the next one
 * goes on from.
 */
import Type from 'typebox'
import { BoundedMap } from '../base/bounded-map.ts'
import { ApiError } from './api-error.ts'
import { readCall } from './body.ts'
import type { TypedEvent } from './event-stream.ts'
import type { Kept, ResponseStore } from './response-store.ts'
import { RESPONSE_REQUEST, responseEvents, unfinished } from './responses.ts'
import type { Talk } from './sockets.ts'

const MESSAGE = Type.Object({
  ...RESPONSE_REQUEST.properties,
  type: Type.Literal('response.create'),
  generate: Type.Optional(Type.Boolean()),
})
const MAX_KNOWN = 20

export class ResponseTalk implements Talk {
  readonly greeting = []
  readonly #store: ResponseStore
  readonly #model: string
  readonly #known = new BoundedMap<Kept>(MAX_KNOWN)

  constructor(store: ResponseStore, model: string) {
    this.#store = store
    this.#model = model
  }

  answer(message: Buffer): readonly TypedEvent[] {
    const { generate = true, ...call } = readCall(message, MESSAGE, this.#model)
    if (call.background)
      throw new ApiError('invalid_body', 'background', 'a WebSocket waits for what it asks')
    const made = this.#store.make(call, message.length, (id) => this.#known.get(id))
    const { response } = made
    this.#known.set(response.id, generate ? made : { ...made, response: { ...response, output: [] } })
    if (generate) return responseEvents(response)
    return [
      { type: 'response.created', response: unfinished(response, 'in_progress') },
      { type: 'response.completed', response: { ...response, output: [] } },
    ]
  }
}
