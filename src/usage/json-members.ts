/**
 * Watches for a few members of a JSON object while its text passes, in pieces cut anywhere.
 *
 * Keeps nothing but a depth and the value that is being read. It assumes JSON and checks nothing: of anything else
 * it finds no member, or a wrong one. A name deeper than it was asked for, or inside a string, is never taken.
 */
const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const SPACE = 0x20

/** 1 for what means nothing outside of strings. */
const PLAIN = new Uint8Array(256).fill(1)
for (const code of [QUOTE, COMMA, COLON, OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE])
  PLAIN[code] = 0

/** Longer names are none we look for, even with every character escaped. */
const MAX_NAME = 128
/** Longer values are not taken. */
const MAX_VALUE = 8 * 1024

/** Which members are looked for: made once, and shared by all texts in which they are. */
export class MemberPaths {
  readonly all: ReadonlySet<string>
  readonly parents: ReadonlySet<string>

  /** @param paths of top-level members (`usage`), and of members of those (`response.usage`) */
  constructor(...paths: readonly string[]) {
    this.all = new Set(paths)
    this.parents = new Set(paths.filter((path) => path.includes('.')).map((path) => path.split('.')[0] ?? ''))
  }
}

export class JsonMembers {
  readonly #paths: MemberPaths
  readonly #take: (path: string, value: unknown) => void

  #depth = 0
  /** The object has ended, or it is none. */
  #isOver = false
  #isInString = false
  /** An odd number of backslashes ended the last piece, inside a string. */
  #isEscaped = false
  #expectsName = false
  /** Of the name that is being read, as it is written. */
  #name: string | undefined
  /** Of the member whose value is next, or being read: `usage`, `response`, `response.usage`. */
  #path = ''
  /** What was read of its value, if it is one to take. */
  #value: string | undefined
  /** `response.` while inside that member. */
  #parent = ''

  /** @param take is given each that is found, parsed */
  constructor(paths: MemberPaths, take: (path: string, value: unknown) => void) {
    this.#paths = paths
    this.#take = take
  }

  /** Whether nothing more can be found in this text. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** What comes next is another text. */
  reset(): void {
    this.#depth = 0
    this.#isOver = this.#isInString = this.#isEscaped = this.#expectsName = false
    this.#name = this.#value = undefined
    this.#path = this.#parent = ''
  }

  /** @param text the bytes as latin1 */
  push(text: string): void {
    /** Where the part of the value begins that stands in this text. */
    let valueAt = 0
    const { length } = text
    for (let at = this.#begin(text); at < length && !this.#isOver; at += 1) {
      if (this.#isInString) at = this.#readString(text, at)
      while (at < length && PLAIN[text.charCodeAt(at)] === 1) at += 1
      const code = at < length ? text.charCodeAt(at) : SPACE
      if (code === COLON && this.#startsValue()) valueAt = at + 1
      else if (code === QUOTE) this.#openString()
      else if (code === OPEN_BRACE || code === OPEN_BRACKET) this.#open(code)
      else if (code === COMMA || code === CLOSE_BRACE || code === CLOSE_BRACKET) {
        if (this.#depth === this.#level) this.#endMember(text.slice(valueAt, at))
        if (code !== COMMA) this.#close()
      }
    }
    if (this.#value !== undefined) this.#keepValue(text.slice(valueAt))
  }

  /** Behind the outermost brace, once it is there. @returns where to go on */
  #begin(text: string): number {
    if (this.#depth > 0) return 0
    let at = 0
    // A byte order mark may stand in front.
    while (text.charCodeAt(at) <= SPACE || text.charCodeAt(at) >= 0x80) at += 1
    if (at === text.length) return at
    if (text.charCodeAt(at) === OPEN_BRACE) this.#open(OPEN_BRACE)
    else this.#isOver = true
    return at + 1
  }

  /** Of the object whose names matter now. */
  get #level(): number {
    return this.#parent === '' ? 1 : 2
  }

  #open(code: number): void {
    if (this.#depth === 0) this.#expectsName = true
    else if (this.#depth === 1 && code === OPEN_BRACE && this.#paths.parents.has(this.#path)) {
      this.#parent = `${this.#path}.`
      this.#path = ''
      this.#expectsName = true
    }
    this.#depth += 1
  }

  #openString(): void {
    this.#isInString = true
    if (this.#expectsName) this.#name = ''
  }

  #close(): void {
    this.#depth -= 1
    if (this.#depth === 1) this.#parent = ''
    else if (this.#depth <= 0) this.#isOver = true
  }

  /** At a colon. @returns whether a value begins that is to be taken */
  #startsValue(): boolean {
    const isWanted =
      this.#value === undefined && this.#depth === this.#level && this.#paths.all.has(this.#path)
    if (isWanted) this.#value = ''
    return isWanted
  }

  #keepValue(rest: string): void {
    if (this.#value === undefined) return
    this.#value += rest
    if (this.#value.length <= MAX_VALUE) return
    this.#value = undefined
    this.#path = ''
  }

  #endMember(rest: string): void {
    this.#keepValue(rest)
    const text = this.#value
    const path = this.#path
    this.#value = undefined
    this.#path = ''
    this.#expectsName = true
    if (text !== undefined) this.#take(path, parse(text))
  }

  /** @returns where to go on: behind the closing quote, or at the end of the text */
  #readString(text: string, from: number): number {
    let quote = text.indexOf('"', from)
    while (quote !== -1 && this.#endsEscaped(text, from, quote)) {
      this.#isEscaped = false
      this.#readName(text.slice(from, quote + 1))
      from = quote + 1
      quote = text.indexOf('"', from)
    }
    const end = quote === -1 ? text.length : quote
    this.#readName(text.slice(from, end))
    if (quote === -1) {
      this.#isEscaped = this.#endsEscaped(text, from, end)
      return end
    }
    this.#isEscaped = this.#isInString = false
    if (this.#name !== undefined) this.#endName(this.#name)
    return end + 1
  }

  /** Whether the character at `end` is escaped, by the backslashes before it. */
  #endsEscaped(text: string, from: number, end: number): boolean {
    let at = end
    while (at > from && text.charCodeAt(at - 1) === BACKSLASH) at -= 1
    const isOdd = (end - at) % 2 === 1
    return at === from && this.#isEscaped ? !isOdd : isOdd
  }

  #readName(piece: string): void {
    if (this.#name !== undefined && this.#name.length + piece.length <= MAX_NAME) this.#name += piece
    else if (this.#name !== undefined) this.#name = ''.padEnd(MAX_NAME, '-')
  }

  #endName(written: string): void {
    const name = String(written.includes('\\') ? parse(`"${written}"`) : written)
    this.#name = undefined
    this.#expectsName = false
    this.#path = name.includes('.') ? '' : this.#parent + name
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
