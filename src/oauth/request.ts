/**
 * One request, by undici's plain client: its `fetch` needs twice as much of the processor for the same, which shows where
 * a hundred tokens a second are renewed. Follows no redirect.
 */
import { brotliDecompressSync, gunzipSync, inflateRawSync, inflateSync, type ZlibOptions } from 'node:zlib'
import { type Dispatcher, request } from 'undici'

/** What global fetch's answers have in common with ours. */
export interface ReadableAnswer {
  readonly status: number
  readonly headers: { get(name: string): string | null }
  /** As it came, see {@link decoded}. */
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

/**
 * Some servers code what nobody asked them to. What nobody knows stays as it is.
 * @param codings `Content-Encoding`
 * @throws Error for what is not coded so, or would be longer than `maxOutputLength`
 */
export function decoded(bytes: Buffer, codings: string | null, maxOutputLength: number): Buffer {
  const names = (codings ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
  return names
    .filter(Boolean)
    .reduceRight((coded, name) => decodedOnce(coded, name, { maxOutputLength }), bytes)
}

function decodedOnce(bytes: Buffer, coding: string, options: ZlibOptions): Buffer {
  if (coding === 'gzip' || coding === 'x-gzip') return gunzipSync(bytes, options)
  if (coding === 'br') return brotliDecompressSync(bytes, options)
  if (coding !== 'deflate') return bytes
  // Some leave out what RFC 9110 §8.4.1.2 asks for around it.
  const isWrapped = ((bytes[0] ?? 0) & 0x0f) === 0x08
  return isWrapped ? inflateSync(bytes, options) : inflateRawSync(bytes, options)
}
