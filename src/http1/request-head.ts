import type { Readable } from 'node:stream'
import { ConnectionError } from './connection-error.ts'
import type { HeaderList } from './header-list.ts'

export interface HttpRequest {
  /** scheme://host[:port], http or https */
  readonly origin: string
  /** In ASCII, without white space. */
  readonly path: string
  readonly method: string
  readonly headers: HeaderList
  readonly body: Buffer | Readable | null
  /** Of a body that is a stream, where it is known; without it the body goes in chunks. */
  readonly contentLength?: string | undefined
}

/** Methods whose requests say so if they have no body (RFC 9110 §8.6). */
export const EXPECTS_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH'])
/** Nothing that ends a line, nothing beyond one byte (RFC 9110 §5.5). */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** Up to the header of the body's length. @throws ConnectionError for a value that is none */
export function requestHead(
  { method, path, headers }: Pick<HttpRequest, 'method' | 'path' | 'headers'>,
  host: string,
): string {
  let head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n`
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1] as string
    if (!FIELD_VALUE.test(value)) throw new ConnectionError('INVALID_HEADER', headers[i])
    head += `${headers[i]}: ${value}\r\n`
  }
  return head
}
