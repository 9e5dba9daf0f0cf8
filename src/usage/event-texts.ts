/**
 * The `data` of server-sent events (WHATWG HTML §9.2.6) piece by piece, as an event stream passes that is cut anywhere.
 */
const LINE_END = /[\r\n]/g
const FIELD = 'data:'
const NEW_LINE = '\n'

interface DataSink {
  push(piece: string): void
  /** The event is over. */
  reset(): void
}

export class EventTexts {
  readonly #data: DataSink
  /** The first characters of a line, until it is known to be `data`, or not. */
  #field: string | undefined = ''
  #isData = false
  /** The line is none: what ends now is the event. */
  #isBlank = true
  #hasEnded = true
  #lastWasReturn = false

  constructor(data: DataSink) {
    this.#data = data
  }

  /** Whether nothing of the next event has come yet. */
  get isBetweenEvents(): boolean {
    return this.#hasEnded && this.#isBlank
  }

  push(text: string): void {
    let from = this.#lastWasReturn && text.charCodeAt(0) === 0x0a ? 1 : 0
    if (text !== '') this.#lastWasReturn = false
    while (from < text.length) {
      LINE_END.lastIndex = from
      const end = LINE_END.exec(text)?.index
      this.#line(text.slice(from, end))
      if (end === undefined) return
      this.#endLine()
      const isReturn = text.charCodeAt(end) === 0x0d
      from = isReturn && text.charCodeAt(end + 1) === 0x0a ? end + 2 : end + 1
      this.#lastWasReturn = isReturn && from === text.length && from === end + 1
    }
  }

  #line(piece: string): void {
    if (piece === '') return
    this.#isBlank = this.#hasEnded = false
    if (this.#isData) {
      this.#data.push(piece)
      return
    }
    if (this.#field === undefined) return
    const begin = this.#field + piece
    if (begin.startsWith(FIELD)) {
      this.#isData = true
      this.#data.push(begin.slice(FIELD.length))
    }
    this.#field = begin.length < FIELD.length ? begin : undefined
  }

  #endLine(): void {
    if (this.#isBlank) {
      if (!this.#hasEnded) this.#data.reset()
      this.#hasEnded = true
    } else if (this.#isData) this.#data.push(NEW_LINE)
    this.#field = ''
    this.#isData = false
    this.#isBlank = true
  }
}
