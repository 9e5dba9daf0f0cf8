/**
 * What `/chat/completions` and `/completions` take, and what the model makes of it.
 */
import Type from 'typebox'
import { type Conversation, chosenTool, countWords, nextTurn, type Turn, textOf } from './turn.ts'

const MESSAGE = Type.Object({ role: Type.String(), content: Type.Optional(Type.Unknown()) })

const TOOL = Type.Object({
  type: Type.String(),
  function: Type.Optional(Type.Object({ name: Type.String(), parameters: Type.Optional(Type.Unknown()) })),
})

const STREAMING = {
  stream: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
  stream_options: Type.Optional(
    Type.Union([Type.Object({ include_usage: Type.Optional(Type.Boolean()) }), Type.Null()]),
  ),
}

export const CHAT_REQUEST = Type.Object({
  model: Type.String(),
  messages: Type.Array(MESSAGE, { minItems: 1 }),
  tools: Type.Optional(Type.Array(TOOL)),
  tool_choice: Type.Optional(Type.Unknown()),
  ...STREAMING,
})
export type ChatRequest = Type.Static<typeof CHAT_REQUEST>

export const COMPLETION_REQUEST = Type.Object({
  model: Type.String(),
  prompt: Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1, maxItems: 1 })]),
  ...STREAMING,
})
export type CompletionRequest = Type.Static<typeof COMPLETION_REQUEST>

export function chatTurn(request: ChatRequest): Turn {
  return nextTurn(conversationOf(request))
}

function conversationOf({ messages, tools = [], tool_choice }: ChatRequest): Conversation {
  const userAt = messages.findLastIndex(({ role }) => role === 'user')
  const answerAt = messages.findLastIndex(({ role }) => role === 'tool')
  const functions = tools.flatMap(({ function: offered }) =>
    offered ? [{ name: offered.name, parameters: offered.parameters }] : [],
  )
  return {
    prompt: promptOf(messages),
    question: textOf(messages[userAt]?.content),
    toolAnswer: answerAt > userAt ? textOf(messages[answerAt]?.content) : undefined,
    tool: chosenTool(functions, tool_choice, answerAt !== -1),
  }
}

export function promptOf(messages: ChatRequest['messages']): string {
  return messages.map(({ content }) => textOf(content)).join(' ')
}

export function usageOf(prompt: string, answer: string) {
  const promptTokens = countWords(prompt)
  const completionTokens = countWords(answer)
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  }
}
