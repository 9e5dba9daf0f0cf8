/**
 * Why something that was asked of somebody else came to nothing, for a person.
 */

/**
 * A failure in one word: the code of what caused it (`ECONNRESET`), else the name. The `code` of a DOMException is a
 * number and says nothing to anybody.
 */
export function nameOf(error: unknown): string {
  const chain = causesOf(error)
  for (const { code } of chain) if (typeof code === 'string' && /^[a-z]\w*$/i.test(code)) return code
  for (const { name } of chain) if (typeof name === 'string' && /^[a-z]\w*$/i.test(name)) return name
  return 'unknown'
}

type Failure = { code?: unknown; name?: unknown; cause?: unknown; errors?: unknown }
const MAX_CAUSES = 5

/** What lies behind comes first. */
function causesOf(error: unknown, depth = MAX_CAUSES): Failure[] {
  if (typeof error !== 'object' || error === null || depth === 0) return []
  const { cause, errors } = error as Failure
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined
  return [...causesOf(cause, depth - 1), ...causesOf(first, depth - 1), error as Failure]
}

/** In words where time was up, else its name. @param timeoutMs of the signal that may have ended it */
export function reasonOf(error: unknown, timeoutMs: number): string {
  return (error as Partial<Error>).name === 'TimeoutError' ? noAnswerWithin(timeoutMs) : nameOf(error)
}

export function noAnswerWithin(timeoutMs: number): string {
  return `no answer within ${timeoutMs / 1000} s`
}
