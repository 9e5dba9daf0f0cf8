/**
 * What stands at the far end of a signed call: AWS's own library signs again what has arrived on the wire, and whatever
 * it does not sign alike is refused.
 */
import { createHash, createHmac } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { SignatureV4 } from '@smithy/signature-v4'
import type { AwsKeys } from '../../src/base/aws-signature.ts'

export interface SigningPlace {
  readonly region: string
  readonly service: string
}

export interface SignedRequest {
  readonly method: string
  readonly host: string
  /** With its query, as on the request line. */
  readonly path: string
  /** Those that are signed, but for the host. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | null
}

const ALLOWED_SKEW_MS = 5 * 60_000

/** As AWS's library wants its hash. */
class Sha256 {
  readonly #hash: ReturnType<typeof createHash> | ReturnType<typeof createHmac>
  constructor(secret?: string | Uint8Array) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', secret)
  }
  update(data: string | Uint8Array): void {
    this.#hash.update(data)
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }
  reset(): void {}
}

/** All headers that the library makes of a request, told what the wire says of its query: a plus is no blank. */
export async function signedByAws(
  keys: AwsKeys,
  place: SigningPlace,
  { method, host, path, headers, body }: SignedRequest,
  at: number,
): Promise<Record<string, string>> {
  const [pathname = '', ...rest] = path.split('?')
  const query: Record<string, string[]> = Object.create(null)
  for (const part of rest.join('?').split('&').filter(Boolean)) {
    const [name = '', ...value] = part.split('=')
    const key = decodeURIComponent(name)
    query[key] = [...(query[key] ?? []), decodeURIComponent(value.join('='))]
  }
  const { accessKeyId, secretAccessKey, sessionToken } = keys
  const signer = new SignatureV4({
    credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) },
    ...place,
    sha256: Sha256 as never,
  })
  const request = { protocol: 'https:', hostname: host, method, path: pathname, query }
  const signed = await signer.sign(
    { ...request, headers: { ...headers, host }, ...(body && { body }) },
    { signingDate: new Date(at) },
  )
  return signed.headers
}

const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=([^/ ]+)\/(\d{8})\/([^/ ]+)\/([^/ ]+)\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/

/** Why AWS would not take it, or undefined. @param keys which it knows, by their id */
export async function refusalOf(
  request: IncomingMessage,
  body: Buffer,
  keys: ReadonlyMap<string, AwsKeys>,
  place: SigningPlace,
  now = Date.now(),
): Promise<string | undefined> {
  const { headers, method = '', url: path = '' } = request
  const found = AUTHORIZATION.exec(headers.authorization ?? '')
  if (!found) return 'no signature'
  const [, id = '', day, region, service, names = ''] = found
  const known = keys.get(id)
  if (!known) return 'unknown key'
  if (region !== place.region || service !== place.service) return 'another service or region'
  const time = String(headers['x-amz-date'])
  const at = Date.parse(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
  if (!(Math.abs(at - now) <= ALLOWED_SKEW_MS) || !time.startsWith(day ?? '?')) return 'another time'
  const signed = names.split(';')
  for (const name of ['host', ...Object.keys(headers).filter((one) => one.startsWith('x-amz-'))])
    if (!signed.includes(name)) return `${name} is not signed`
  if (headers['x-amz-security-token'] !== known.sessionToken) return 'another session token'
  const hash = headers['x-amz-content-sha256']
  if (hash !== 'UNSIGNED-PAYLOAD' && hash !== createHash('sha256').update(body).digest('hex'))
    return 'another body'
  const values = signed.filter((name) => name !== 'host').map((name) => [name, String(headers[name])])
  const arrived = { method, host: headers.host ?? '', path, headers: Object.fromEntries(values), body }
  const again = await signedByAws(known, place, arrived, at)
  return again['authorization'] === headers.authorization ? undefined : 'another signature'
}
