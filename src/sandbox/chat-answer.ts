/**
 * The answers of `/chat/completions` and `/completions`, whole and as stream events.
 */
import { type ChatRequest, type CompletionRequest, chatTurn, promptOf, usageOf } from './completion.ts'
import { randomText } from './digest.ts'
import { echo, piecesOf, type Turn, wordsOf } from './turn.ts'

type Usage = ReturnType<typeof usageOf>

export function chatCompletion(request: ChatRequest, created: number) {
  const turn = chatTurn(request)
  const message =
    turn.kind === 'text'
      ? { role: 'assistant', content: turn.text, refusal: null }
      : { role: 'assistant', content: null, refusal: null, tool_calls: [toolCall(turn, turn.arguments)] }
  return {
    id: `chatcmpl-${randomText(12)}`,
    object: 'chat.completion',
    created,
    model: request.model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: finishReason(turn) }],
    usage: chatUsage(request, turn),
  }
}

/** The role, the content in pieces, the reason to stop, and the usage where it was asked for. */
export function chatCompletionEvents(request: ChatRequest, created: number): object[] {
  const turn = chatTurn(request)
  const deltas: object[] =
    turn.kind === 'text'
      ? [{ role: 'assistant', content: '' }, ...piecesOf(turn.text).map((content) => ({ content }))]
      : [
          { role: 'assistant', content: null, tool_calls: [{ index: 0, ...toolCall(turn, '') }] },
          ...piecesOf(turn.arguments).map((piece) => ({
            tool_calls: [{ index: 0, function: { arguments: piece } }],
          })),
        ]
  const choices = deltas.map((delta) => ({
    index: 0,
    delta,
    logprobs: null,
    finish_reason: null as string | null,
  }))
  choices.push({ index: 0, delta: {}, logprobs: null, finish_reason: finishReason(turn) })
  const head = {
    id: `chatcmpl-${randomText(12)}`,
    object: 'chat.completion.chunk',
    created,
    model: request.model,
  }
  return events(head, choices, request, chatUsage(request, turn))
}

export function textCompletion(request: CompletionRequest, created: number) {
  const text = echo(String(request.prompt))
  return {
    ...textHead(request, created),
    choices: [{ index: 0, text, logprobs: null, finish_reason: 'stop' }],
    usage: usageOf(String(request.prompt), text),
  }
}

export function textCompletionEvents(request: CompletionRequest, created: number): object[] {
  const text = echo(String(request.prompt))
  const choices = [...piecesOf(text), ''].map((piece, index, pieces) => ({
    index: 0,
    text: piece,
    logprobs: null,
    finish_reason: index === pieces.length - 1 ? 'stop' : null,
  }))
  return events(textHead(request, created), choices, request, usageOf(String(request.prompt), text))
}

/** With usage asked for, every event has the field and one more event without a choice fills it. */
function events(
  head: object,
  choices: readonly object[],
  { stream_options }: Pick<ChatRequest, 'stream_options'>,
  usage: Usage,
): object[] {
  if (!stream_options?.include_usage) return choices.map((choice) => ({ ...head, choices: [choice] }))
  return [
    ...choices.map((choice) => ({ ...head, choices: [choice], usage: null })),
    { ...head, choices: [], usage },
  ]
}

function textHead(request: CompletionRequest, created: number) {
  return { id: `cmpl-${randomText(12)}`, object: 'text_completion', created, model: request.model }
}

function toolCall(turn: Turn & { kind: 'tool_call' }, args: string) {
  return { id: `call_${randomText(12)}`, type: 'function', function: { name: turn.name, arguments: args } }
}

function finishReason(turn: Turn): string {
  return turn.kind === 'text' ? 'stop' : 'tool_calls'
}

function chatUsage(request: ChatRequest, turn: Turn): Usage {
  return usageOf(promptOf(request.messages), wordsOf(turn))
}
