/**
 * The one kilobyte that goes out and the one kilobyte that comes back, byte for byte.
 */

export const CALL_PATH = '/v1/chat/completions'
export const MODEL = 'bench-model'
const SIZE = 1_024

/** Compact JSON: a gateway that parses and writes it anew gives the same bytes. */
function padded(make: (padding: string) => object): string {
  const empty = JSON.stringify(make(''))
  return JSON.stringify(make('x'.repeat(SIZE - empty.length)))
}

export const QUESTION = padded((content) => ({ model: MODEL, messages: [{ role: 'user', content }] }))

export const ANSWER = padded((content) => ({
  id: 'chatcmpl-bench',
  object: 'chat.completion',
  created: 1,
  model: MODEL,
  choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 9, completion_tokens: 12, total_tokens: 21 },
}))

/** 60 bytes that say which stream and which place in it they belong to, so that nothing can be lost or swapped. */
export function sseChunk(stream: number, index: number): string {
  const text = `data: {"stream":${padNumber(stream)},"chunk":${padNumber(index)},"of":"`
  return `${text.padEnd(56, '.')}"}\n\n`
}

function padNumber(value: number): string {
  return String(1_000_000 + value)
}

export const SSE_CHUNK_BYTES = 60
