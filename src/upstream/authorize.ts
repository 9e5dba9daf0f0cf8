/**
 * How a call shows the credential: one function for each credential as it was at one version, called for every attempt
 * with the request as it goes out otherwise.
 */
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
