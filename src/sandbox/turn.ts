/**
 * What the sandbox model says to a conversation, whatever API it is held in: an echo, a call of a tool it is offered, and
 * then what the tool answered.
 *
 * Knows nothing of HTTP or streaming.
 */
import Type from 'typebox'
import { Check } from 'typebox/value'

export interface Tool {
  readonly name: string
  /** A JSON schema. */
  readonly parameters: unknown
}

export interface Conversation {
  /** All that was said, for counting. */
  readonly prompt: string
  /** What the user said last. */
  readonly question: string
  /** What a tool has answered since; undefined if none has. */
  readonly toolAnswer: string | undefined
  /** The one to call, if one may be called. */
  readonly tool: Tool | undefined
}

export type Turn =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tool_call'; readonly name: string; readonly input: object; readonly arguments: string }

export function nextTurn({ question, toolAnswer, tool }: Conversation): Turn {
  if (toolAnswer !== undefined) return { kind: 'text', text: `The tool answered: ${quote(toolAnswer)}` }
  if (!tool) return { kind: 'text', text: echo(question) }
  const input = argumentsFor(tool.parameters)
  return { kind: 'tool_call', name: tool.name, input, arguments: JSON.stringify(input) }
}

export function echo(text: string): string {
  return `Hello from the sandbox! You said: ${quote(text)}`
}

/** What of a turn is counted. */
export function wordsOf(turn: Turn): string {
  return turn.kind === 'text' ? turn.text : turn.arguments
}

/**
 * The tool that is asked for by name, else the first; none if none may be called, or if one was called before and nobody
 * asks for another: an agent that tells the model how a task ended would else be given the same task for ever.
 * @param choice `tool_choice` of any API
 */
export function chosenTool(tools: readonly Tool[], choice: unknown, wasCalled: boolean): Tool | undefined {
  const { type, name, function: named } = choiceOf(choice)
  if (type === 'none') return undefined
  const wanted = name ?? named?.name
  if (wanted !== undefined) return tools.find((tool) => tool.name === wanted)
  const isFree = type === undefined || type === 'auto'
  return isFree && wasCalled ? undefined : tools[0]
}

function choiceOf(choice: unknown): { type?: string; name?: string; function?: { name?: string } } {
  if (typeof choice === 'string') return { type: choice }
  return typeof choice === 'object' && choice !== null ? choice : {}
}

const OBJECT = Type.Object({
  properties: Type.Record(Type.String(), Type.Unknown()),
  required: Type.Array(Type.String()),
})
const MAX_DEPTH = 8

/** A value for every member that a tool's JSON schema requires. */
function argumentsFor(schema: unknown, depth = 0): Record<string, unknown> {
  if (!Check(OBJECT, schema) || depth > MAX_DEPTH) return {}
  // Each once: whoever names one many times, at each depth, would keep everybody waiting.
  const members = [...new Set(schema.required)].map((name) => [
    name,
    valueFor(name, schema.properties[name], depth),
  ])
  return Object.fromEntries(members) as Record<string, unknown>
}

interface Property {
  readonly type?: string | readonly string[]
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly unknown[]
  readonly minimum?: number
  readonly items?: unknown
}

/** Its first enum value, else the least there is of its type; of a text its name. */
function valueFor(name: string, property: unknown, depth: number): unknown {
  const schema = (typeof property === 'object' && property !== null ? property : {}) as Property
  if (schema.const !== undefined) return schema.const
  if (Array.isArray(schema.enum) && schema.enum.length > 0) return schema.enum[0]
  if (Array.isArray(schema.anyOf) && schema.anyOf.length > 0 && depth < MAX_DEPTH)
    return valueFor(name, schema.anyOf[0], depth + 1)
  const [type] = [schema.type].flat()
  if (type === 'number' || type === 'integer') return schema.minimum ?? 1
  if (type === 'boolean') return false
  if (type === 'array') return depth < MAX_DEPTH ? [valueFor(name, schema.items, depth + 1)] : []
  if (type === 'object') return argumentsFor(schema, depth + 1)
  return `sandbox ${name}`
}

/** Words stand for tokens. */
export function countWords(text: string): number {
  return text.match(/\S+/g)?.length ?? 0
}

/** Small enough that streaming shows, and never half a character. */
export function piecesOf(text: string): string[] {
  return text.match(/.{1,12}/gsu) ?? []
}

const QUOTED_CHARACTERS = 200

function quote(text: string): string {
  const characters = [...text]
  const shown = characters.slice(0, QUOTED_CHARACTERS).join('')
  return characters.length > QUOTED_CHARACTERS ? `“${shown}…”` : `“${shown}”`
}

const TEXT_PART = Type.Object({
  type: Type.Enum(['text', 'input_text', 'output_text']),
  text: Type.String(),
})

/** Content is a text or a list of parts, of which the text parts count. */
export function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content
    .map((part: unknown) => (Check(TEXT_PART, part) ? part.text : ''))
    .filter((text) => text !== '')
    .join(' ')
}
