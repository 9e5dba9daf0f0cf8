/**
 * OpenAI's Responses: what `/responses` takes and answers, whole and as stream events.
 */
import Type from 'typebox'
import { randomText } from './digest.ts'
import type { TypedEvent } from './event-stream.ts'
import {
  type Conversation,
  chosenTool,
  countWords,
  nextTurn,
  piecesOf,
  type Turn,
  textOf,
  wordsOf,
} from './turn.ts'

const orNull = <Schema extends Type.TSchema>(schema: Schema) =>
  Type.Optional(Type.Union([schema, Type.Null()]))

const ITEM = Type.Object({
  id: Type.Optional(Type.Unknown()),
  type: Type.Optional(Type.String()),
  role: Type.Optional(Type.String()),
  content: Type.Optional(Type.Unknown()),
  /** Of a tool. */
  output: Type.Optional(Type.Unknown()),
})
type Item = Type.Static<typeof ITEM>

/** Of functions; others have no parameters. */
const TOOL = Type.Object({
  type: Type.String(),
  name: Type.Optional(Type.String()),
  parameters: Type.Optional(Type.Unknown()),
})

export const RESPONSE_REQUEST = Type.Object({
  model: Type.String(),
  input: Type.Union([Type.String(), Type.Array(ITEM, { minItems: 1 })]),
  instructions: orNull(Type.String()),
  tools: orNull(Type.Array(TOOL)),
  tool_choice: Type.Optional(Type.Unknown()),
  stream: orNull(Type.Boolean()),
  store: orNull(Type.Boolean()),
  background: orNull(Type.Boolean()),
  previous_response_id: orNull(Type.String()),
  metadata: Type.Optional(Type.Unknown()),
})
export type ResponseRequest = Type.Static<typeof RESPONSE_REQUEST>

export type Response = ReturnType<typeof completed>

/** One that is over, with all that was said until then. */
export interface Exchange {
  readonly response: Response
  /** What came in, that of earlier exchanges first. */
  readonly items: readonly Item[]
}

/** @param previous that the request goes on from */
export function exchange(request: ResponseRequest, created: number, previous?: Exchange): Exchange {
  const earlier = previous ? [...previous.items, ...previous.response.output] : []
  const items = [...earlier, ...itemsOf(request.input)]
  const conversation = conversationOf(request, items)
  const turn = nextTurn(conversation)
  return { response: completed(request, created, { conversation, turn }), items }
}

/** Of a response that is not over: without what it comes to. */
export function unfinished(response: Response, status: 'queued' | 'in_progress' | 'cancelled') {
  return { ...response, status, output: [], usage: null }
}

/** The events that lead to a response; one in the background waits for its turn first. */
export function responseEvents(response: Response): TypedEvent[] {
  const [item] = response.output
  const [begun, queued] = [unfinished(response, 'in_progress'), unfinished(response, 'queued')]
  const events: TypedEvent[] = [
    { type: 'response.created', response: response.background ? queued : begun },
    ...(response.background ? [{ type: 'response.queued', response: queued }] : []),
    { type: 'response.in_progress', response: begun },
    ...(item?.type === 'message' ? textEvents(item) : callEvents(item)),
    { type: 'response.output_item.done', output_index: 0, item },
    { type: 'response.completed', response },
  ]
  return events.map((event, sequence_number) => ({ ...event, sequence_number }))
}

type Output = ReturnType<typeof outputOf>

function textEvents(item: Output & { type: 'message' }): TypedEvent[] {
  const at = { item_id: item.id, output_index: 0, content_index: 0 }
  const [part] = item.content
  const text = part?.text ?? ''
  return [
    {
      type: 'response.output_item.added',
      output_index: 0,
      item: { ...item, status: 'in_progress', content: [] },
    },
    { type: 'response.content_part.added', ...at, part: { ...part, text: '' } },
    ...piecesOf(text).map((delta) => ({ type: 'response.output_text.delta', ...at, delta, logprobs: [] })),
    { type: 'response.output_text.done', ...at, text, logprobs: [] },
    { type: 'response.content_part.done', ...at, part },
  ]
}

function callEvents(item: (Output & { type: 'function_call' }) | undefined): TypedEvent[] {
  if (!item) return []
  const at = { item_id: item.id, output_index: 0 }
  return [
    {
      type: 'response.output_item.added',
      output_index: 0,
      item: { ...item, status: 'in_progress', arguments: '' },
    },
    ...piecesOf(item.arguments).map((delta) => ({
      type: 'response.function_call_arguments.delta',
      ...at,
      delta,
    })),
    {
      type: 'response.function_call_arguments.done',
      ...at,
      name: item.name,
      arguments: item.arguments,
    },
  ]
}

function completed(
  request: ResponseRequest,
  created_at: number,
  { conversation, turn }: { conversation: Conversation; turn: Turn },
) {
  const input_tokens = countWords(conversation.prompt)
  const output_tokens = countWords(wordsOf(turn))
  return {
    id: `resp_${randomText(12)}`,
    object: 'response',
    created_at,
    status: 'completed',
    model: request.model,
    output: [outputOf(turn)],
    parallel_tool_calls: true,
    tool_choice: request.tool_choice ?? 'auto',
    tools: request.tools ?? [],
    error: null,
    incomplete_details: null,
    instructions: request.instructions ?? null,
    metadata: request.metadata ?? {},
    previous_response_id: request.previous_response_id ?? null,
    store: request.store ?? true,
    background: request.background ?? false,
    temperature: 1,
    top_p: 1,
    text: { format: { type: 'text' } },
    truncation: 'disabled',
    usage: {
      input_tokens,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: input_tokens + output_tokens,
    },
  }
}

function outputOf(turn: Turn) {
  const status = 'completed'
  if (turn.kind === 'text') {
    const content = [{ type: 'output_text', text: turn.text, annotations: [], logprobs: [] }]
    return { id: `msg_${randomText(12)}`, type: 'message' as const, role: 'assistant', status, content }
  }
  const call = { call_id: `call_${randomText(12)}`, name: turn.name, arguments: turn.arguments }
  return { id: `fc_${randomText(12)}`, type: 'function_call' as const, status, ...call }
}

function itemsOf(input: ResponseRequest['input']): Item[] {
  if (typeof input !== 'string') return input.map((item) => ({ ...item, id: item.id ?? newItemId() }))
  const content = [{ type: 'input_text', text: input }]
  return [{ id: newItemId(), type: 'message', role: 'user', content }]
}

function newItemId(): string {
  return `msg_${randomText(12)}`
}

function conversationOf(
  { instructions, tools, tool_choice }: ResponseRequest,
  items: readonly Item[],
): Conversation {
  const userAt = items.findLastIndex(({ type, role }) => (type ?? 'message') === 'message' && role === 'user')
  const answerAt = items.findLastIndex(({ type }) => type?.endsWith('_call_output'))
  const functions = (tools ?? []).flatMap(({ type, name, parameters }) =>
    type === 'function' && name !== undefined ? [{ name, parameters }] : [],
  )
  return {
    prompt: [instructions, ...items.flatMap(({ content, output }) => [content, output])]
      .map(textOf)
      .join(' '),
    question: textOf(items[userAt]?.content),
    toolAnswer: answerAt > userAt ? textOf(items[answerAt]?.output) : undefined,
    tool: chosenTool(functions, tool_choice, answerAt !== -1),
  }
}
