/**
 * What stands at the far end of a request that is signed for Volcengine: it signs again what has arrived, by the rules of
 * the vendor's own clients, and refuses what it does not sign alike.
 */
import { createHash, createHmac } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

export interface VolcengineRequest {
  readonly method: string
  /** With its query, as on the request line. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface VolcengineKeys {
  readonly accessKey: string
  readonly secretKey: string
}

const ALLOWED_SKEW_MS = 15 * 60_000
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
const escaped = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)

/** The whole header. @param names of the headers that it is about, in their order */
export function volcengineAuthorization(
  { method, url, headers, body }: VolcengineRequest,
  { accessKey, secretKey }: VolcengineKeys,
  scope: string,
  names: readonly string[],
): string {
  const { pathname, searchParams } = new URL(url, 'https://a.example')
  const pairs = [...searchParams].map(([name, value]) => [escaped(name), escaped(value)] as const)
  pairs.sort(([one], [other]) => (one < other ? -1 : 1))
  const canonical = [
    method,
    decodeURIComponent(pathname).split('/').map(escaped).join('/'),
    pairs.map((pair) => pair.join('=')).join('&'),
    ...names.map((name) => `${name}:${String(headers[name]).trim()}`),
    '',
    names.join(';'),
    sha256(body),
  ].join('\n')
  const toSign = ['HMAC-SHA256', headers['x-date'], scope, sha256(canonical)].join('\n')
  const key = scope.split('/').reduce<string | Buffer>(hmac, secretKey)
  const signature = hmac(key, toSign).toString('hex')
  return `HMAC-SHA256 Credential=${accessKey}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`
}

/** Why it is not taken, or undefined. @param place `region/service` */
export function volcengineRefusal(
  request: VolcengineRequest,
  keys: VolcengineKeys,
  place: string,
): string | undefined {
  const { headers, body } = request
  const time = String(headers['x-date'])
  const at = Date.parse(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
  if (!(Math.abs(at - Date.now()) <= ALLOWED_SKEW_MS)) return `x-date ${time}`
  if (headers['x-content-sha256'] !== sha256(body)) return 'another body'
  const names = /SignedHeaders=([a-z0-9;-]+)/.exec(headers.authorization ?? '')?.[1]?.split(';') ?? []
  for (const name of ['host', ...Object.keys(headers).filter((one) => one.startsWith('x-'))])
    if (!names.includes(name)) return `${name} is not signed`
  const scope = `${time.slice(0, 8)}/${place}/request`
  const again = volcengineAuthorization(request, keys, scope, names)
  return headers.authorization === again ? undefined : `authorization is ${headers.authorization}`
}
