/**
 * What a `usage` object says, in any of the dialects: OpenAI's chat, embeddings, Responses, audio, and Anthropic's.
 */
export interface TokenCounts {
  readonly prompt: number
  readonly completion: number
}

/** More than any call can cost; a larger number is a mistake, and enough of them would not fit into a column. */
const MAX_TOKENS = 1e9

export function isTokenCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_TOKENS
}

/** Of one `usage` object by itself. @returns undefined if it is not JSON */
export function tokensOf(text: string): TokenCounts | undefined {
  try {
    const sum = new UsageSum()
    sum.add(JSON.parse(text))
    return sum.tokenCounts
  } catch {
    return undefined
  }
}

/**
 * The `usage` objects of one answer put together. They are cumulative, and may leave out what an earlier one said:
 * of each number the last that is not null holds.
 */
export class UsageSum {
  #input = 0
  /** What the cache took is part of it already. */
  #isInputWhole = false
  #output = 0
  #cacheRead = 0
  #cacheCreation = 0

  /** @param said what stands behind `"usage":`, parsed */
  add(said: unknown): void {
    if (!isObject(said)) return
    this.#input = firstCount(said['prompt_tokens'], said['input_tokens']) ?? this.#input
    this.#isInputWhole ||= isTokenCount(said['prompt_tokens']) || isObject(said['input_tokens_details'])
    this.#output = firstCount(said['completion_tokens'], said['output_tokens']) ?? this.#output
    this.#cacheRead = firstCount(said['cache_read_input_tokens']) ?? this.#cacheRead
    this.#cacheCreation = firstCount(said['cache_creation_input_tokens']) ?? this.#cacheCreation
  }

  /**
   * Only Anthropic counts what its cache took beside `input_tokens`; elsewhere those are part of the prompt, also where
   * a server tells them by Anthropic's names.
   */
  get tokenCounts(): TokenCounts {
    const cache = this.#isInputWhole ? 0 : this.#cacheRead + this.#cacheCreation
    return { prompt: this.#input + cache, completion: this.#output }
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function firstCount(...values: readonly unknown[]): number | undefined {
  return values.find(isTokenCount)
}
