/**
 * Anthropic's Messages: what `/messages` and `/messages/count_tokens` take and answer, whole and as stream events.
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

const BLOCK = Type.Object({ type: Type.String(), content: Type.Optional(Type.Unknown()) })
const MESSAGE = Type.Object({
  role: Type.String(),
  content: Type.Union([Type.String(), Type.Array(BLOCK)]),
})
/** The vendor's own tools have a type, and no schema. */
const TOOL = Type.Object({ name: Type.String(), input_schema: Type.Optional(Type.Unknown()) })

const COUNTED = {
  model: Type.String(),
  messages: Type.Array(MESSAGE, { minItems: 1 }),
  system: Type.Optional(Type.Union([Type.String(), Type.Array(BLOCK)])),
  tools: Type.Optional(Type.Array(TOOL)),
  tool_choice: Type.Optional(Type.Unknown()),
}

export const COUNT_REQUEST = Type.Object(COUNTED)
type CountRequest = Type.Static<typeof COUNT_REQUEST>

export const MESSAGES_REQUEST = Type.Object({
  ...COUNTED,
  max_tokens: Type.Integer({ minimum: 1 }),
  stream: Type.Optional(Type.Boolean()),
})
export type MessagesRequest = Type.Static<typeof MESSAGES_REQUEST>

export function message(request: MessagesRequest) {
  const conversation = conversationOf(request)
  const turn = nextTurn(conversation)
  return {
    ...messageHead(request),
    content: [blockOf(turn)],
    stop_reason: stopReason(turn),
    stop_sequence: null,
    usage: usageOf(conversation, countWords(wordsOf(turn))),
  }
}

export function messageEvents(request: MessagesRequest): TypedEvent[] {
  const conversation = conversationOf(request)
  const turn = nextTurn(conversation)
  const begun = { content: [], stop_reason: null, stop_sequence: null, usage: usageOf(conversation, 1) }
  const block = blockOf(turn)
  const empty = block.type === 'text' ? { ...block, text: '' } : { ...block, input: {} }
  return [
    { type: 'message_start', message: { ...messageHead(request), ...begun } },
    { type: 'content_block_start', index: 0, content_block: empty },
    ...piecesOf(wordsOf(turn)).map((piece) => ({
      type: 'content_block_delta',
      index: 0,
      delta:
        turn.kind === 'text'
          ? { type: 'text_delta', text: piece }
          : { type: 'input_json_delta', partial_json: piece },
    })),
    { type: 'content_block_stop', index: 0 },
    {
      type: 'message_delta',
      delta: { stop_reason: stopReason(turn), stop_sequence: null },
      usage: { output_tokens: countWords(wordsOf(turn)) },
    },
    { type: 'message_stop' },
  ]
}

export function countTokens(request: CountRequest) {
  return { input_tokens: countWords(conversationOf(request).prompt) }
}

function conversationOf({ system, messages, tools = [], tool_choice }: CountRequest): Conversation {
  const last = messages.findLast(({ role }) => role === 'user')
  const answer = toolResultIn(last)
  const offered = tools.map(({ name, input_schema }) => ({ name, parameters: input_schema }))
  return {
    prompt: [system, ...messages.map(({ content }) => content)].map(textOf).join(' '),
    question: textOf(last?.content),
    toolAnswer: answer && textOf(answer.content),
    tool: chosenTool(
      offered,
      tool_choice,
      messages.some((message) => toolResultIn(message) !== undefined),
    ),
  }
}

/** The last one. */
function toolResultIn(message: CountRequest['messages'][number] | undefined) {
  const blocks = typeof message?.content === 'string' ? [] : (message?.content ?? [])
  return blocks.findLast(({ type }) => type === 'tool_result')
}

function messageHead({ model }: MessagesRequest) {
  return { id: `msg_${randomText(12)}`, type: 'message', role: 'assistant', model }
}

function blockOf(turn: Turn) {
  return turn.kind === 'text'
    ? { type: 'text' as const, text: turn.text }
    : { type: 'tool_use' as const, id: `toolu_${randomText(12)}`, name: turn.name, input: turn.input }
}

function stopReason(turn: Turn): string {
  return turn.kind === 'text' ? 'end_turn' : 'tool_use'
}

function usageOf({ prompt }: Conversation, output_tokens: number) {
  const cache = { cache_creation_input_tokens: 0, cache_read_input_tokens: 0 }
  return { input_tokens: countWords(prompt), ...cache, output_tokens }
}
