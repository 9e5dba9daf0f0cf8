/**
 * What the sandbox model says: an echo, or a call of the first tool it is offered.
 *
 * Knows nothing of HTTP or streaming.
 */
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { randomText } from './digest.ts'

const MESSAGE = Type.Object({ role: Type.String(), content: Type.Optional(Type.Unknown()) })
type Message = Type.Static<typeof MESSAGE>

const TOOL = Type.Object({
  type: Type.Literal('function'),
  function: Type.Object({ name: Type.String(), parameters: Type.Optional(Type.Unknown()) }),
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

export type Turn =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tool_call'; readonly id: string; readonly name: string; readonly arguments: string }

export function nextTurn({ messages, tools, tool_choice }: ChatRequest): Turn {
  const last = messages.at(-1)
  if (last?.role === 'tool') return { kind: 'text', text: `The tool answered: ${quote(textOf(last))}` }
  const tool = tools?.[0]?.function
  if (tool && last?.role === 'user' && tool_choice !== 'none') {
    const id = `call_${randomText(12)}`
    return {
      kind: 'tool_call',
      id,
      name: tool.name,
      arguments: JSON.stringify(argumentsFor(tool.parameters)),
    }
  }
  const question = messages.findLast((message) => message.role === 'user')
  return { kind: 'text', text: echo(question ? textOf(question) : '') }
}

export function echo(text: string): string {
  return `Hello from the sandbox! You said: ${quote(text)}`
}

const PARAMETERS = Compile(
  Type.Object({
    properties: Type.Record(Type.String(), Type.Unknown()),
    required: Type.Array(Type.String()),
  }),
)
const TEXT_PROPERTY = Compile(
  Type.Object({ type: Type.Literal('string'), enum: Type.Optional(Type.Array(Type.String())) }),
)

/** A value for every required string of the tool's JSON schema: its first enum value, or its name. */
function argumentsFor(schema: unknown): Record<string, string> {
  if (!PARAMETERS.Check(schema)) return {}
  const chosen = new Map<string, string>()
  for (const name of schema.required) {
    const property = schema.properties[name]
    if (TEXT_PROPERTY.Check(property)) chosen.set(name, property.enum?.[0] ?? `sandbox ${name}`)
  }
  return Object.fromEntries(chosen)
}

/** Words stand for tokens. */
export function usageOf(prompt: string, answer: string) {
  const promptTokens = countWords(prompt)
  const completionTokens = countWords(answer)
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  }
}

export function promptOf(messages: readonly Message[]): string {
  return messages.map(textOf).join(' ')
}

/** Small enough that streaming shows, and never half a character. */
export function piecesOf(text: string): string[] {
  return text.match(/.{1,12}/gsu) ?? []
}

function countWords(text: string): number {
  return text.match(/\S+/g)?.length ?? 0
}

const QUOTED_CHARACTERS = 200

function quote(text: string): string {
  const characters = [...text]
  const shown = characters.slice(0, QUOTED_CHARACTERS).join('')
  return characters.length > QUOTED_CHARACTERS ? `“${shown}…”` : `“${shown}”`
}

const TEXT_PART = Compile(Type.Object({ type: Type.Literal('text'), text: Type.String() }))

/** Content is a text or a list of parts, of which the text parts count. */
function textOf({ content }: Message): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content
    .map((part: unknown) => (TEXT_PART.Check(part) ? part.text : ''))
    .filter((text) => text !== '')
    .join(' ')
}
