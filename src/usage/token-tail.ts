/**
 * Reads how many tokens an answer cost from its last bytes, while it passes.
 *
 * Both dialects put `usage` at the very end: of a JSON body, or of the last event but `[DONE]`. So nothing is
 * parsed before the end, and never more kept than TAIL_BYTES and the chunk that reaches beyond.
 */
import type { IncomingHttpHeaders } from 'node:http'

export interface Tokens {
  readonly prompt: number
  readonly completion: number
}

interface AnswerHead {
  readonly status: number
  /** Names in lower case. */
  readonly headers: IncomingHttpHeaders
}

export const TAIL_BYTES = 4096
const MAX_CHUNKS = 16
const NONE: Tokens = { prompt: 0, completion: 0 }

export class TokenTail {
  #chunks: Buffer[] = []
  #bytes = 0

  /** Undefined for answers that tell nothing: failures, other media, and what is compressed. */
  static for({ status, headers }: AnswerHead): TokenTail | undefined {
    if (status < 200 || status > 299 || headers['content-encoding'] !== undefined) return undefined
    const type = headers['content-type']
    return type !== undefined && /^(application\/json|text\/event-stream)/i.test(type)
      ? new TokenTail()
      : undefined
  }

  push(chunk: Buffer): void {
    const chunks = this.#chunks
    chunks.push(chunk)
    this.#bytes += chunk.length
    while (this.#bytes - (chunks[0] as Buffer).length >= TAIL_BYTES) {
      this.#bytes -= (chunks.shift() as Buffer).length
    }
    // Many small ones weigh more than what is in them.
    if (chunks.length > MAX_CHUNKS) this.#chunks = [Buffer.concat(chunks)]
  }

  /** Call it once, when the answer is over. */
  tokens(): Tokens {
    const [only] = this.#chunks
    const tail = this.#chunks.length === 1 && only ? only : Buffer.concat(this.#chunks)
    this.#chunks = []
    return findTokens(tail.toString('latin1', Math.max(0, tail.length - TAIL_BYTES)))
  }
}

/** Inside a JSON text a quote is escaped, so `"usage"` before a colon can only be a name. */
const USAGE = /^"usage"\s*:\s*\{/
const PROMPT = /"(?:prompt|input)_tokens"\s*:\s*(\d{1,15})/
const COMPLETION = /"(?:completion|output)_tokens"\s*:\s*(\d{1,15})/

function findTokens(tail: string): Tokens {
  for (
    let at = tail.lastIndexOf('"usage"');
    at !== -1;
    at = at === 0 ? -1 : tail.lastIndexOf('"usage"', at - 1)
  ) {
    const found = tail.slice(at)
    if (!USAGE.test(found)) continue // null in all events but the last
    return { prompt: count(PROMPT, found), completion: count(COMPLETION, found) }
  }
  return NONE
}

function count(pattern: RegExp, text: string): number {
  return Number(pattern.exec(text)?.[1] ?? 0)
}
