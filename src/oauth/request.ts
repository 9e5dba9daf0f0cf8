/**
 * One request, by undici's plain client: its `fetch` needs twice as much of the processor for the same, which shows where
 * a hundred tokens a second are renewed. Follows no redirect.
 */
import { type Dispatcher, request } from 'undici'

/** What global fetch's answers have in common with ours. */
export interface ReadableAnswer {
  readonly status: number
  readonly headers: { get(name: string): string | null }
  /** As it came: some servers code what nobody asked them to. */
  readonly body: AsyncIterable<Uint8Array> | null
}

export interface Question {
  readonly method?: 'GET' | 'POST' | 'PUT' | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
  readonly signal: AbortSignal
}

/** Resolves with the head of the answer. Rejects with whatever ended the connection or kept it from being made. */
export async function ask(dispatcher: Dispatcher, url: string, question: Question): Promise<ReadableAnswer> {
  const { method = 'GET', body = null, signal } = question
  // Without it any coding would be welcome (RFC 9110 §12.5.3).
  const sent = { ...question.headers, 'accept-encoding': 'identity' }
  const {
    statusCode,
    headers,
    body: read,
  } = await request(url, { method, headers: sent, body, signal, dispatcher })
  return {
    status: statusCode,
    headers: { get: (name) => [headers[name] ?? []].flat().join(', ') || null },
    body: read,
  }
}
