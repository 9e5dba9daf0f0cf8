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
const USAGE = /"usage"\s*:\s*\{/y

function findTokens(tail: string): Tokens {
  for (
    let at = tail.lastIndexOf('"usage"');
    at !== -1;
    at = at === 0 ? -1 : tail.lastIndexOf('"usage"', at - 1)
  ) {
    USAGE.lastIndex = at
    if (!USAGE.test(tail)) continue // null in all events but the last
    return {
      prompt: numberOf(tail, '"prompt_tokens"', at) ?? numberOf(tail, '"input_tokens"', at) ?? 0,
      completion: numberOf(tail, '"completion_tokens"', at) ?? numberOf(tail, '"output_tokens"', at) ?? 0,
    }
  }
  return NONE
}

const COLON = 0x3a
const SPACE = 0x20
const MAX_DIGITS = 15

/** Of the first member of this name from there on; undefined if there is none, or if it is no number. */
function numberOf(text: string, quotedName: string, from: number): number | undefined {
  const nameAt = text.indexOf(quotedName, from)
  if (nameAt === -1) return undefined
  let at = nameAt + quotedName.length
  while (text.charCodeAt(at) === COLON || text.charCodeAt(at) <= SPACE) at += 1
  let number = 0
  const first = at
  for (; at - first < MAX_DIGITS; at += 1) {
    const digit = text.charCodeAt(at) - 0x30
    if (!(digit >= 0 && digit <= 9)) break
    number = 10 * number + digit
  }
  return at === first ? undefined : number
}
