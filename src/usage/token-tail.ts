/**
 * Reads how many tokens an answer cost from its last bytes, while it passes.
 *
 * Both dialects put `usage` at the very end: of a JSON body, or of the last event but `[DONE]`. So nothing is
 * parsed before the end, and never more kept than twice TAIL_BYTES.
 */
export interface Tokens {
  readonly prompt: number
  readonly completion: number
}

export const TAIL_BYTES = 4096
const NONE: Tokens = { prompt: 0, completion: 0 }

export class TokenTail {
  #tail = ''

  /** Undefined for answers that tell nothing: failures, other media, and what is compressed. */
  static for(
    status: number,
    contentType: string | undefined,
    contentEncoding: string | undefined,
  ): TokenTail | undefined {
    if (status < 200 || status > 299 || contentEncoding !== undefined || contentType === undefined)
      return undefined
    return /^(application\/json|text\/event-stream)/i.test(contentType) ? new TokenTail() : undefined
  }

  /** @param text the bytes as latin1 */
  push(text: string): void {
    this.#tail += text
    if (this.#tail.length > 2 * TAIL_BYTES) this.#tail = this.#tail.slice(-TAIL_BYTES)
  }

  /** Call it once, when the answer is over. */
  tokens(): Tokens {
    return findTokens(this.#tail.slice(-TAIL_BYTES))
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
