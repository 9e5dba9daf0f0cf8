/**
 * What may cross, each way. Two allow-lists: a header nobody thought of stays where it is.
 *
 * The client's key, its cookies and hop-by-hop headers never go upstream; Set-Cookie never comes back.
 */
import type { IncomingHttpHeaders } from 'node:http'

const REQUEST_HEADERS = [
  'accept',
  'accept-encoding',
  'accept-language',
  'anthropic-beta',
  'anthropic-version',
  'content-encoding',
  'content-type',
  'idempotency-key',
  'if-none-match',
  'openai-beta',
  'openai-organization',
  'openai-project',
  'range',
  'traceparent',
  'tracestate',
] as const

const RESPONSE_HEADERS: ReadonlySet<string> = new Set([
  'accept-ranges',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-length',
  'content-range',
  'content-type',
  'etag',
  'expires',
  'last-modified',
  'retry-after',
  'retry-after-ms',
  'vary',
  'x-should-retry',
])
const RESPONSE_PREFIXES = ['x-ratelimit-', 'openai-', 'x-dashscope-'] as const

const OWN_NAME = 'token-broker'

/** Header lists as node:http takes them: name, value, name, value, … */
export type HeaderList = string[]

/**
 * @param extra the provider's own headers; they win over the client's
 * @param token what upstream gets as bearer; injected last
 */
export function requestHeaders(
  client: IncomingHttpHeaders,
  extra: Readonly<Record<string, string>>,
  token: string,
): HeaderList {
  const headers: HeaderList = []
  for (const name of REQUEST_HEADERS) {
    const value = client[name]
    if (typeof value === 'string' && extra[name] === undefined) headers.push(name, value)
  }
  if (extra['user-agent'] === undefined) headers.push('user-agent', OWN_NAME)
  for (const name in extra) headers.push(name, extra[name] as string)
  headers.push('authorization', `Bearer ${token}`)
  return headers
}

/** @param headers upstream's, names in lower case. What it sent twice comes back twice. */
export function responseHeaders(headers: HeaderList): HeaderList {
  const kept: HeaderList = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    const value = headers[i + 1] as string
    if (!mayComeBack(name)) continue
    // In front: behind a content-length Node reads its bytes as UTF-8 and then refuses what it finds.
    if (name === 'content-disposition') kept.unshift(name, value)
    else kept.push(name, value)
  }
  return kept
}

/** The first header of this name. @param name in lower case, as in the list */
export function headerValue(headers: HeaderList, name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) return headers[i + 1]
  return undefined
}

function mayComeBack(name: string): boolean {
  return RESPONSE_HEADERS.has(name) || RESPONSE_PREFIXES.some((prefix) => name.startsWith(prefix))
}
