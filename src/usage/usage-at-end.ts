/**
 * The ordinary case of a small JSON answer in one piece, which costs next to nothing: `usage` is the last object in it
 * but for its details, and is found from the end.
 */
import { isTokenCount, type TokenCounts, tokensOf } from './token-counts.ts'

const COLON = 0x3a
const BACKSLASH = 0x5c
const SMALL_N = 0x6e
const OPEN_BRACE = 0x7b
const SPACE = 0x20
const MAX_DIGITS = 15

/**
 * @returns undefined if it takes a look at the whole text to know
 *
 * Inside a JSON string a quote is escaped, so that `"usage"` before a colon is a member's name, unless its first
 * quote is. If the only brace behind its object ends the text, then it is the outermost that it closes, and the
 * member one of the top level.
 */
export function tokensAtEnd(text: string): TokenCounts | undefined {
  const nameAt = text.lastIndexOf('"usage"')
  if (nameAt < 1 || text.charCodeAt(nameAt - 1) === BACKSLASH) return undefined
  const start = skip(text, nameAt + '"usage"'.length, COLON)
  if (text.charCodeAt(start) !== OPEN_BRACE) return undefined
  let nested = text.indexOf('{', start + 1)
  const firstNested = nested
  let end = text.indexOf('}', start)
  for (; nested !== -1 && nested < end; nested = text.indexOf('{', nested + 1))
    end = text.indexOf('}', end + 1)
  if (end === -1 || text.indexOf('}', end + 1) !== lastOf(text)) return undefined
  const detailsAt = firstNested === -1 ? end : Math.min(firstNested, end)
  const prompt = numberOf(text, '"prompt_tokens"', start, detailsAt)
  const completion = numberOf(text, '"completion_tokens"', start, detailsAt)
  if (prompt !== undefined && completion !== undefined) return { prompt, completion }
  return tokensOf(text.slice(start, end + 1))
}

/** Whether a `usage` may be told, at any depth: not where it is null, as in all events of a stream but the last. */
export function mayTellUsage(text: string): boolean {
  for (let at = text.indexOf(NAME_END); at !== -1; at = text.indexOf(NAME_END, at + 1)) {
    if (text.charCodeAt(skip(text, at + NAME_END.length, COLON)) !== SMALL_N) return true
  }
  return false
}

/** Without its first quote, of which there are too many to search for. */
const NAME_END = 'usage"'

/** Of the member of this name between the two places; undefined if there is none, or if it is not plain. */
function numberOf(text: string, quotedName: string, from: number, to: number): number | undefined {
  const nameAt = text.indexOf(quotedName, from)
  if (nameAt === -1 || nameAt >= to) return undefined
  const first = skip(text, nameAt + quotedName.length, COLON)
  let number = 0
  let at = first
  for (; at - first < MAX_DIGITS; at += 1) {
    const digit = text.charCodeAt(at) - 0x30
    if (!(digit >= 0 && digit <= 9)) break
    number = 10 * number + digit
  }
  const isPlain = at > first && ENDS_NUMBER.includes(text.charAt(at))
  return isPlain && isTokenCount(number) ? number : undefined
}

const ENDS_NUMBER = ',} \r\n\t'

/** Behind white space and this character. */
function skip(text: string, from: number, code: number): number {
  let at = from
  while (text.charCodeAt(at) <= SPACE || text.charCodeAt(at) === code) at += 1
  return at
}

/** Of the last character that is no white space. */
function lastOf(text: string): number {
  let at = text.length - 1
  while (text.charCodeAt(at) <= SPACE) at -= 1
  return at
}
