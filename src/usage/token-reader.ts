/**
 * Reads how many tokens an answer cost, while it passes: from the `usage` of a JSON body, or of the events of a stream.
 *
 * Only the members that mean it count (`usage`, in events also `response.usage` and `message.usage`), wherever they
 * stand; what a model says about usage is inside a string or deeper.
 */
import { EventTexts } from './event-texts.ts'
import { Expander } from './expander.ts'
import { JsonMembers, MemberPaths } from './json-members.ts'
import { type TokenCounts, UsageSum } from './token-counts.ts'
import { mayTellUsage, tokensAtEnd } from './usage-at-end.ts'

export interface TokenReader {
  /** Whether it wants to see more. */
  readonly isReading: boolean
  /** @param text the bytes as latin1 */
  push(text: string): void
  /** The answer is over. @param take is told at once, or of a compressed answer when it is unpacked */
  end(take: (tokenCounts: TokenCounts) => void): void
}

/** What comes later is not read: so much of an answer never is one. */
const MAX_BYTES = 64 * 1024 * 1024
const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i
const EVENTS_TYPE = /^text\/event-stream\s*(?:;|$)/i

/** Undefined for answers that tell nothing: failures, other media, and codings nobody knows. */
export function tokenReaderFor(
  status: number,
  contentType = '',
  contentEncoding: string | undefined,
): TokenReader | undefined {
  if (status < 200 || status > 299) return undefined
  const isEvents = EVENTS_TYPE.test(contentType)
  if (!isEvents && !JSON_TYPE.test(contentType)) return undefined
  const reader = isEvents ? new StreamReader() : new BodyReader()
  if (contentEncoding === undefined) return reader
  const expander = Expander.for(contentEncoding, MAX_BYTES, (text) => reader.push(text))
  return expander && new ExpandingReader(expander, reader)
}

/** Keeps so much of a body. `usage` is found in it from the end, or else all of it is looked at. */
const MAX_KEPT = 64 * 1024

const IN_BODY = new MemberPaths('usage')

class BodyReader implements TokenReader {
  #kept = ''
  #members: JsonMembers | undefined
  readonly #sum = new UsageSum()
  #bytes = 0

  get isReading(): boolean {
    return this.#bytes <= MAX_BYTES
  }

  push(text: string): void {
    this.#bytes += text.length
    if (this.#bytes <= MAX_KEPT) this.#kept += text
    else if (this.isReading) this.#scan(text)
  }

  end(take: (tokenCounts: TokenCounts) => void): void {
    let tokenCounts = tokensAtEnd(this.#kept)
    if (!tokenCounts && mayTellUsage(this.#kept)) this.#scan('')
    tokenCounts ??= this.#sum.tokenCounts
    take(tokenCounts)
  }

  #scan(text: string): void {
    this.#members ??= new JsonMembers(IN_BODY, (_, usage) => this.#sum.add(usage))
    this.#members.push(this.#kept)
    this.#kept = ''
    this.#members.push(text)
  }
}

const IN_EVENTS = new MemberPaths('usage', 'response.usage', 'message.usage')

class StreamReader implements TokenReader {
  readonly #sum = new UsageSum()
  /** From the first piece on that is not whole events, or may tell; most streams have but one, their last. */
  #events: EventTexts | undefined
  #bytes = 0

  get isReading(): boolean {
    return this.#bytes <= MAX_BYTES
  }

  push(text: string): void {
    this.#bytes += text.length
    if (!this.isReading) return
    // Nearly all there is: whole events without usage, or with none yet.
    const isWhole = this.#events?.isBetweenEvents !== false && text.endsWith('\n\n')
    if (isWhole && !mayTellUsage(text)) return
    this.#events ??= new EventTexts(new JsonMembers(IN_EVENTS, (_, usage) => this.#sum.add(usage)))
    this.#events.push(text)
  }

  end(take: (tokenCounts: TokenCounts) => void): void {
    take(this.#sum.tokenCounts)
  }
}

class ExpandingReader implements TokenReader {
  readonly #expander: Expander
  readonly #inner: TokenReader

  constructor(expander: Expander, inner: TokenReader) {
    this.#expander = expander
    this.#inner = inner
  }

  get isReading(): boolean {
    return !this.#expander.isOver
  }

  push(text: string): void {
    this.#expander.push(text)
  }

  end(take: (tokenCounts: TokenCounts) => void): void {
    this.#expander.end(() => this.#inner.end(take))
  }
}
