/**
 * One request to somebody who issues tokens, and what came back, judged by the question that matters later:
 * could the server have acted on it?
 */

import { type Dispatcher, errors } from 'undici'
import { codingsOf, decodedNow } from '../base/content-codings.ts'
import { nameOf, noAnswerWithin } from '../base/failure.ts'
import { NeverConnected } from '../http1/never-connected.ts'
import { type JsonObject, parseBody } from './answer-body.ts'
import { patience } from './patience.ts'
import type { ReadableAnswer } from './request.ts'

export type { JsonObject } from './answer-body.ts'

/** What a server said. */
export interface Answered {
  readonly kind: 'answer'
  readonly status: number
  readonly retryAfterMs: number | undefined
  /** Its JSON object, or undefined if there was none to be read. */
  readonly body: JsonObject | undefined
  /** All of its body. */
  readonly text: () => string
  /** By a name in any case; null: it has none. */
  readonly header: (name: string) => string | null
  /** The secrets that it was sent, for taking them out of what it quotes. */
  readonly sent: readonly string[]
}

export type WireAnswer =
  | Answered
  /** The request surely never reached the server. */
  | { kind: 'unreachable'; why: string }
  /** It was not sent, for what it is made with is not there: a file, a variable. @property isLasting only a person helps */
  | { kind: 'unsent'; why: string; isLasting: boolean }
  /** Cut off or too late: the server may have acted on it. */
  | { kind: 'unclear'; why: string }

/** Two tokens of the greatest length, escaped and in UTF-16, fit. */
const MAX_ANSWER_BYTES = 256 * 1024

/**
 * One request within `timeoutMs` in all. Resolves for every outcome; rejects only for programming errors.
 *
 * @param dispatcher opens a connection for each request, and fails with NeverConnected where it could not
 * @param sent the secrets in it, complete when the request has been sent
 */
export async function exchange(
  dispatcher: Dispatcher,
  timeoutMs: number,
  send: (signal: AbortSignal, dispatcher: Dispatcher) => Promise<ReadableAnswer>,
  sent: readonly string[] = [],
): Promise<WireAnswer> {
  const { signal, end } = patience(timeoutMs)
  try {
    return await readAnswer(await send(signal, dispatcher), sent)
  } catch (error) {
    if (signal.aborted) return { kind: 'unclear', why: noAnswerWithin(timeoutMs) }
    return judgeFailure(error)
  } finally {
    end()
  }
}

async function readAnswer(response: ReadableAnswer, sent: readonly string[]): Promise<WireAnswer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength
    if (size > MAX_ANSWER_BYTES) return { kind: 'unclear', why: `answer over ${MAX_ANSWER_BYTES} bytes` }
    chunks.push(chunk)
  }
  const bytes = Buffer.concat(chunks)
  const codings = codingsOf(response.headers.get('content-encoding'))
  const whole = decodedNow(bytes, codings, { maxOutputLength: MAX_ANSWER_BYTES }) ?? bytes
  return {
    kind: 'answer',
    status: response.status,
    retryAfterMs: parseRetryAfter(response.headers.get('retry-after')),
    body: parseBody(whole, response.headers.get('content-type')),
    text: () => new TextDecoder().decode(whole), // without a byte order mark
    header: (name) => response.headers.get(name.toLowerCase()),
    sent,
  }
}

function judgeFailure(error: unknown): WireAnswer {
  if (error instanceof TypeError || error instanceof errors.InvalidArgumentError) throw error
  if (error instanceof NeverConnected) return { kind: 'unreachable', why: error.code }
  return { kind: 'unclear', why: nameOf(error) }
}

/** Retry-After in seconds or as an HTTP date (RFC 9110 §10.2.3) → milliseconds from now. */
export function parseRetryAfter(value: string | null | undefined): number | undefined {
  if (!value) return undefined
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1000
  const at = Date.parse(value)
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now())
}
