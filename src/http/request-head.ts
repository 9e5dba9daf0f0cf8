/**
 * What Node's parser lets pass of a request's head, and what two servers in a row may take in two ways: such a request
 * is refused before anybody reads on (RFC 9112 §3.2, §6.3; RFC 9110 §5.3).
 */
import type { IncomingMessage } from 'node:http'

/** A name or an address in brackets, and a port (RFC 9110 §7.2). */
const HOST = /^(?:\[[0-9a-f:.]+\]|[\w.~%-]+)(?::\d{0,5})?$/i
const LENGTH = /^(?:0|[1-9]\d*)$/
/** As clients of proxies write it (RFC 9112 §3.2.2), which every server takes. */
const ABSOLUTE_FORM = /^https?:\/\/([^/?#]*)/i
const SLASH = 0x2f

/** Fastify keeps the target that was sent where it goes on with another. */
type Head = Pick<IncomingMessage, 'rawHeaders' | 'headers' | 'httpVersion' | 'url'> & { originalUrl?: string }

/** The target from its path on: whether its host is ours to answer for {@link headProblem} says. */
export function originForm(target: string): string {
  if (target.charCodeAt(0) === SLASH) return target
  const found = ABSOLUTE_FORM.exec(target)
  if (!found) return target
  const path = target.slice(found[0].length)
  return path.startsWith('/') ? path : `/${path}`
}

/** @returns what is wrong with it */
export function headProblem({
  rawHeaders,
  headers,
  httpVersion,
  url = '',
  originalUrl = url,
}: Head): string | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 'this server speaks HTTP/1.1'
  let hosts = 0
  let authorizations = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    // Most names have another length, and are not looked at.
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1
    else if (name.length === 13 && name.toLowerCase() === 'authorization') authorizations += 1
  }
  if (hosts > 1) return 'it has two Host headers'
  if (hosts === 0 && httpVersion === '1.1') return 'it has no Host header'
  if (authorizations > 1) return 'it has two Authorization headers'
  const { host, 'content-length': length, 'transfer-encoding': coding } = headers
  if (host !== undefined && !HOST.test(host)) return 'its Host header is none'
  if (originalUrl.charCodeAt(0) !== SLASH && !isOfHost(originalUrl, host))
    return 'its target is of another host than its Host header'
  if (length !== undefined && !LENGTH.test(length)) return 'its Content-Length is no plain number'
  if (coding === undefined) return undefined
  if (httpVersion === '1.0') return 'HTTP/1.0 has no Transfer-Encoding'
  return coding.toLowerCase() === 'chunked' ? undefined : 'of transfer codings only chunked is known'
}

/** RFC 9112 §3.2: in absolute form the target's authority and `Host` are one and the same. */
function isOfHost(target: string, host: string | undefined): boolean {
  const authority = ABSOLUTE_FORM.exec(target)?.[1]?.toLowerCase()
  if (authority === undefined) return true // of another form, and no route's
  return HOST.test(authority) && authority === (host?.toLowerCase() ?? authority)
}
