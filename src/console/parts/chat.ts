/**
 * One streamed completion through the broker itself, as an app would ask for it.
 */
import { addressOf } from '../root.ts'

export interface ToolCall {
  id: string
  name: string
  arguments: string
}

export interface Message {
  readonly role: 'user' | 'assistant' | 'tool'
  content: string
  readonly toolCalls: ToolCall[]
  /** Of a tool's answer. */
  readonly toolCallId?: string
  facts?: string
  problem?: string
}

export interface ChatRequest {
  readonly key: string
  readonly model: string
  readonly system: string
  readonly messages: readonly Message[]
  readonly withTool: boolean
}

export interface ChatFacts {
  readonly firstMs: number | undefined
  readonly totalMs: number
  readonly promptTokens: number | undefined
  readonly completionTokens: number | undefined
  readonly trace: string | null
}

/** The sample tool: nothing but the time, answered in the page. */
export const TOOL = {
  type: 'function',
  function: {
    name: 'current_time',
    description: 'The present date and time at the user',
    parameters: { type: 'object', properties: {}, required: [] },
  },
} as const

export const answerTool = (): string => new Date().toString()

interface Chunk {
  readonly choices?: readonly {
    readonly delta?: {
      readonly content?: string | null
      readonly tool_calls?: readonly {
        readonly index: number
        readonly id?: string
        readonly function?: { readonly name?: string; readonly arguments?: string }
      }[]
    }
  }[]
  readonly usage?: { readonly prompt_tokens?: number; readonly completion_tokens?: number } | null
  readonly error?: { readonly message?: string }
}

/** Fills `answer` while it streams. @throws Error with what the broker or the model said */
export async function streamChat(
  request: ChatRequest,
  answer: Message,
  grew: () => void,
  signal: AbortSignal,
): Promise<ChatFacts> {
  const startedAt = performance.now()
  const response = await fetch(addressOf('/v1/chat/completions'), {
    method: 'POST',
    headers: { authorization: `Bearer ${request.key}`, 'content-type': 'application/json' },
    credentials: 'omit',
    body: JSON.stringify(bodyOf(request)),
    signal,
  })
  if (!response.ok || !response.body) throw new Error(await problemOf(response))
  let firstMs: number | undefined
  let usage: Chunk['usage']
  for await (const chunk of chunksOf(response.body)) {
    if (chunk.error) throw new Error(chunk.error.message ?? 'error')
    firstMs ??= performance.now() - startedAt
    usage = chunk.usage ?? usage
    addDelta(answer, chunk)
    grew()
  }
  return {
    firstMs,
    totalMs: performance.now() - startedAt,
    promptTokens: usage?.prompt_tokens,
    completionTokens: usage?.completion_tokens,
    trace: response.headers.get('x-token-broker-trace'),
  }
}

function bodyOf({ model, system, messages, withTool }: ChatRequest): object {
  return {
    model,
    stream: true,
    stream_options: { include_usage: true },
    ...(withTool && { tools: [TOOL] }),
    messages: [
      ...(system === '' ? [] : [{ role: 'system', content: system }]),
      ...messages.map(({ role, content, toolCalls, toolCallId }) => ({
        role,
        content,
        ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
        ...(toolCalls.length > 0 && {
          tool_calls: toolCalls.map((call) => ({
            id: call.id,
            type: 'function',
            function: { name: call.name, arguments: call.arguments },
          })),
        }),
      })),
    ],
  }
}

function addDelta(answer: Message, chunk: Chunk): void {
  const delta = chunk.choices?.[0]?.delta
  answer.content += delta?.content ?? ''
  for (const part of delta?.tool_calls ?? []) {
    answer.toolCalls[part.index] ??= { id: '', name: '', arguments: '' }
    const call = answer.toolCalls[part.index] as ToolCall
    call.id ||= part.id ?? ''
    call.name += part.function?.name ?? ''
    call.arguments += part.function?.arguments ?? ''
  }
}

async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Chunk> {
  const reader = body
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .getReader()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    text += done ? '\n' : value
    const lines = text.split(/\r?\n/)
    text = lines.pop() ?? ''
    for (const line of lines) {
      const content = line.startsWith('data:') ? line.slice(5).trim() : ''
      if (content.startsWith('{')) yield JSON.parse(content) as Chunk
    }
    if (done) return
  }
}

async function problemOf(response: Response): Promise<string> {
  const text = await response.text()
  try {
    return (JSON.parse(text) as Chunk).error?.message ?? text
  } catch {
    return `HTTP ${response.status}`
  }
}
