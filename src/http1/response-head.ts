/**
 * The head of an answer of HTTP/1.1 (RFC 9112 §4 to §6): its status, its headers, and how long its body is.
 */
import type { HeaderList } from './header-list.ts'

/** An answer that is not HTTP/1.1, or not well-defined. */
export class MalformedResponse extends Error {
  override readonly name = 'MalformedResponse'
  readonly code = 'MALFORMED_RESPONSE'
}

export interface ResponseHead {
  readonly status: number
  /** Names in lower case, in the server's order. */
  readonly headers: HeaderList
  /** What Content-Length says. */
  readonly length: number | undefined
  readonly isChunked: boolean
  /** Whether another request may follow on this connection. */
  readonly keepsAlive: boolean
  /** Seconds for which the server says that it keeps an idle connection, if it says so. */
  readonly keepAliveSeconds: number | undefined
}

/** Of the status line and all headers, as Node's own limit; of the trailers, and of a size with its extensions. */
export const MAX_HEAD_BYTES = 16 * 1024
export const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
export const TEXT = '[\\t\\x20-\\x7e\\x80-\\xff]*'
const HEAD = new RegExp(`^HTTP/1\\.[01] [1-9]\\d\\d(?: ${TEXT})?\\r\\n(?:${TOKEN}:${TEXT}\\r\\n)*$`)
const LENGTH = /^\d{1,15}$/
const CLOSE = /(?:^|,)[\t ]*close[\t ]*(?:,|$)/i

/** @param text in latin1, up to the line end of its last line. @throws MalformedResponse for what can be read in two ways */
export function parseHead(text: string): ResponseHead {
  if (!HEAD.test(text)) throw new MalformedResponse('its head is not HTTP/1.1')
  const status = Number(text.slice(9, 12))
  const isVersion1_0 = text.charCodeAt(7) === 0x30
  const headers: HeaderList = []
  let length: number | undefined
  let isChunked = false
  let keepsAlive = !isVersion1_0
  let keepAliveSeconds: number | undefined
  for (let from = text.indexOf('\r\n') + 2; from < text.length; ) {
    const colon = text.indexOf(':', from)
    const lineEnd = text.indexOf('\r\n', colon)
    const name = text.slice(from, colon).toLowerCase()
    const value = withoutSpace(text, colon + 1, lineEnd)
    from = lineEnd + 2
    headers.push(name, value)
    switch (name) {
      case 'content-length':
        if (length !== undefined || !LENGTH.test(value)) throw new MalformedResponse('its length is not one')
        length = Number(value)
        break
      case 'transfer-encoding':
        if (isChunked || isVersion1_0 || value.toLowerCase() !== 'chunked')
          throw new MalformedResponse('its transfer coding is not chunked alone')
        isChunked = true
        break
      case 'connection':
        if (CLOSE.test(value)) keepsAlive = false
        break
      case 'keep-alive':
        keepAliveSeconds = secondsOf(value)
    }
  }
  if (isChunked && length !== undefined) throw new MalformedResponse('it has two kinds of length')
  if (status < 200 && isVersion1_0) throw new MalformedResponse('it is out of place')
  return { status, headers, length, isChunked, keepsAlive, keepAliveSeconds }
}

/** Optional white space is blanks and tabs, nothing else: to `trim` half a UTF-8 character may look like a blank. */
function withoutSpace(text: string, from: number, to: number): string {
  while (from < to && isSpace(text.charCodeAt(from))) from += 1
  while (to > from && isSpace(text.charCodeAt(to - 1))) to -= 1
  return text.slice(from, to)
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09
}

function secondsOf(keepAlive: string): number | undefined {
  const seconds = /(?:^|,)[\t ]*timeout=(\d{1,9})/i.exec(keepAlive)?.[1]
  return seconds === undefined ? undefined : Number(seconds)
}
