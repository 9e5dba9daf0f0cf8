/**
 * One request to somebody who issues tokens, and what came back, judged by the question that matters later:
 * could the server have acted on it?
 */
import { Agent, type Dispatcher } from 'undici'

export type WireAnswer =
  /** The server answered. `body` is its JSON object, or undefined if there was none to be read. */
  | { kind: 'answer'; status: number; retryAfterMs: number | undefined; body: JsonObject | undefined }
  /** The request surely never reached the server. */
  | { kind: 'unreachable'; why: string }
  /** Cut off or too late: the server may have acted on it. */
  | { kind: 'unclear'; why: string }

export type JsonObject = { readonly [name: string]: unknown }

const MAX_ANSWER_BYTES = 64 * 1024

/**
 * A connection for each request: on a kept-alive one the server may hang up just as we write, and then
 * nobody can tell whether a refresh token was spent.
 */
const agent = new Agent({ pipelining: 0, connectTimeout: 5_000 })

/** One request within `timeoutMs` in all. Resolves for every outcome; rejects only for programming errors. */
export async function exchange(
  timeoutMs: number,
  send: (signal: AbortSignal, dispatcher: Dispatcher) => Promise<ReadableAnswer>,
): Promise<WireAnswer> {
  try {
    return await readAnswer(await send(AbortSignal.timeout(timeoutMs), agent))
  } catch (error) {
    return judgeFailure(error)
  }
}

/** What global fetch and undici's have in common. */
interface ReadableAnswer {
  readonly status: number
  readonly headers: { get(name: string): string | null }
  readonly body: AsyncIterable<Uint8Array> | null
}

async function readAnswer(response: ReadableAnswer): Promise<WireAnswer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength
    if (size > MAX_ANSWER_BYTES) return { kind: 'unclear', why: `answer over ${MAX_ANSWER_BYTES} bytes` }
    chunks.push(chunk)
  }
  return {
    kind: 'answer',
    status: response.status,
    retryAfterMs: parseRetryAfter(response.headers.get('retry-after')),
    body: parseObject(Buffer.concat(chunks).toString('utf8')),
  }
}

/** Error codes of a connection that never stood: name lookup, refusal, no route, connect timeout, TLS. */
const NEVER_CONNECTED =
  /^(ENOTFOUND|EAI_|ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|ERR_TLS_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/

function judgeFailure(error: unknown): WireAnswer {
  const cause = (error as { cause?: { code?: string } }).cause
  const why = cause?.code ?? (error as { code?: string }).code ?? (error as Error).name
  if (error instanceof TypeError && cause === undefined) throw error
  return { kind: NEVER_CONNECTED.test(String(why)) ? 'unreachable' : 'unclear', why: String(why) }
}

function parseObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as JsonObject)
      : undefined
  } catch {
    return undefined
  }
}

/** Retry-After in seconds or as an HTTP date (RFC 9110 §10.2.3) → milliseconds from now. */
export function parseRetryAfter(
  value: string | null | undefined,
  now: number = Date.now(),
): number | undefined {
  if (!value) return undefined
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1000
  const at = Date.parse(value)
  return Number.isNaN(at) ? undefined : Math.max(0, at - now)
}
