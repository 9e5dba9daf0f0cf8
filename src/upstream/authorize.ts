/**
 * How a call shows the credential: one function for each credential as it was at one version, called for every attempt
 * with the request as it goes out otherwise.
 */
import { type AwsKeys, AwsSigner } from '../base/aws-signature.ts'
import type { Clock } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { AwsSigV4Config } from '../provider/aws-sigv4.ts'
import type { Auth } from '../provider/upstream-config.ts'
import type { UpstreamRequest } from './pool.ts'
import { AddedQuery } from './query.ts'

/** @param request whose headers are its own, to be added to */
export type Authorize = (request: UpstreamRequest) => UpstreamRequest

export function authorizer(auth: Auth, token: string): Authorize {
  const { name } = auth
  if (auth.in === 'query') {
    const query = new AddedQuery({ [name]: token })
    return (request) => ({ ...request, path: query.addTo(request.path) })
  }
  const value = auth.scheme === undefined ? token : `${auth.scheme} ${token}`
  return (request) => {
    request.headers.push(name, value)
    return request
  }
}

/** @throws BrokerError request_too_large (when called) for a body that cannot be known before it is sent */
export function signing(
  { region, service, allowsUnsignedPayload }: AwsSigV4Config,
  keys: AwsKeys,
  clock: Clock = Date.now,
): Authorize {
  const signer = new AwsSigner(keys, { region, service })
  return (request) => {
    const { method, origin, path, headers, body } = request
    const isKnown = body === null || Buffer.isBuffer(body)
    if (!isKnown && !allowsUnsignedPayload) throw new BrokerError('request_too_large', NOT_SIGNED)
    const host = origin.slice(origin.indexOf('//') + 2)
    const signable = { method, host, path, headers, body: isKnown ? body : 'unsigned' } as const
    return { ...request, headers: signer.sign(signable, clock()) }
  }
}

const NOT_SIGNED = {
  reason: {
    english: 'the endpoint takes signed bodies only, which are JSON or forms of at most 20 MiB',
    chinese: '该上游只接受已签名的请求体，即不超过 20 MiB 的 JSON 或表单',
  },
}
