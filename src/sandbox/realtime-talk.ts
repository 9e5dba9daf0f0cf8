/**
 * `/realtime`, as far as it is text: a session, what is said in it, and an answer where one is asked for.
 */
import Type from 'typebox'
import { Check } from 'typebox/value'
import { ApiError } from './api-error.ts'
import { randomText } from './digest.ts'
import type { TypedEvent } from './event-stream.ts'
import type { Talk } from './sockets.ts'
import { countWords, echo, piecesOf, textOf } from './turn.ts'

const ITEM = Type.Object({
  id: Type.Optional(Type.String()),
  type: Type.String(),
  role: Type.Optional(Type.String()),
  content: Type.Optional(Type.Unknown()),
})
const MESSAGE = Type.Object({
  type: Type.String(),
  session: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  item: Type.Optional(ITEM),
})

export class RealtimeTalk implements Talk {
  readonly greeting: readonly TypedEvent[]
  #session: Record<string, unknown>
  /** What the user said last. */
  #question = ''

  /** @throws ApiError model_not_found */
  constructor({ searchParams }: URL, model: string) {
    if (searchParams.get('model') !== model) throw new ApiError('model_not_found', 'model')
    this.#session = { type: 'realtime', object: 'realtime.session', id: `sess_${randomText(12)}`, model }
    this.greeting = numbered([{ type: 'session.created', session: this.#session }])
  }

  answer(message: Buffer): readonly TypedEvent[] {
    const { type, session, item } = read(message)
    if (type === 'session.update') {
      this.#session = { ...this.#session, ...session }
      return numbered([{ type: 'session.updated', session: this.#session }])
    }
    if (type === 'conversation.item.create' && item) {
      if (item.role === 'user') this.#question = textOf(item.content)
      const added = { status: 'completed', ...item, id: item.id ?? `item_${randomText(12)}` }
      return numbered([
        { type: 'conversation.item.added', item: added },
        { type: 'conversation.item.done', item: added },
      ])
    }
    if (type === 'response.create') return numbered(answerEvents(this.#question))
    throw new ApiError('invalid_body', 'type', 'the sandbox does not know such an event')
  }
}

function answerEvents(question: string): TypedEvent[] {
  const text = echo(question)
  const id = `resp_${randomText(12)}`
  const item = { id: `item_${randomText(12)}`, object: 'realtime.item', type: 'message', role: 'assistant' }
  const done = { ...item, status: 'completed', content: [{ type: 'output_text', text }] }
  const begun = { id, object: 'realtime.response', status: 'in_progress', output: [], usage: null }
  const [input_tokens, output_tokens] = [countWords(question), countWords(text)]
  const usage = { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens }
  const at = { response_id: id, item_id: item.id, output_index: 0, content_index: 0 }
  return [
    { type: 'response.created', response: begun },
    { type: 'response.output_item.added', response_id: id, output_index: 0, item: { ...item, content: [] } },
    ...piecesOf(text).map((delta) => ({ type: 'response.output_text.delta', ...at, delta })),
    { type: 'response.output_text.done', ...at, text },
    { type: 'response.output_item.done', response_id: id, output_index: 0, item: done },
    { type: 'response.done', response: { ...begun, status: 'completed', output: [done], usage } },
  ]
}

function numbered(events: readonly TypedEvent[]): TypedEvent[] {
  return events.map((event) => ({ ...event, event_id: `event_${randomText(12)}` }))
}

/** @throws ApiError invalid_body */
function read(message: Buffer) {
  try {
    const said: unknown = JSON.parse(message.toString())
    if (Check(MESSAGE, said)) return said
  } catch {
    // It is told below.
  }
  throw new ApiError('invalid_body', null, 'a message is a JSON object with a type')
}
