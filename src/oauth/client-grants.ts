/**
 * Token requests of a client that may ask again: for itself (RFC 6749 §4.4), with a token that it trades for another one
 * (RFC 8693), or with an assertion (RFC 7523 §2.1).
 */
import { genericTokenEndpointRequest } from 'oauth4webapi'
import type { Provider } from '../provider/provider.ts'
import type { AuthorizationServer } from './authorization-server.ts'
import type { Renewal } from './refresh-token-grant.ts'
import { judgeShared } from './shared-renewal.ts'
import { SourceTrouble } from './simple-sources.ts'
import { parseTokenResponse, tokenProblem } from './token-response.ts'

const GRANTS = {
  client_credentials: 'client_credentials',
  token_exchange: 'urn:ietf:params:oauth:grant-type:token-exchange',
  jwt_bearer: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
} as const
export type ClientGrant = keyof typeof GRANTS

export function isClientGrant(kind: Provider['kind']): kind is ClientGrant {
  return Object.hasOwn(GRANTS, kind)
}

export async function requestForClient(
  kind: ClientGrant,
  server: AuthorizationServer,
  clock: () => number,
): Promise<Renewal> {
  const { provider } = server
  let parameters: URLSearchParams
  try {
    parameters = await parametersOf(kind, server, clock)
  } catch (error) {
    if (error instanceof SourceTrouble) return judgeShared(error.answer, readingOf(provider, clock))
    throw error
  }
  const answer = await server.exchange((to, options) =>
    genericTokenEndpointRequest(
      to.metadata,
      to.client,
      to.clientAuthentication,
      GRANTS[kind],
      parameters,
      options,
    ),
  )
  return judgeShared(answer, readingOf(provider, clock))
}

function readingOf(
  { errors, authorizationServer: server }: Provider,
  clock: () => number,
): Parameters<typeof judgeShared>[1] {
  return {
    refused: errors.refused,
    tokens: ({ body }) =>
      parseTokenResponse(body, clock(), server?.lifetimeMs) ?? (body && tokenProblem(body)),
  }
}

/** @throws SourceTrouble */
async function parametersOf(
  kind: ClientGrant,
  server: AuthorizationServer,
  clock: () => number,
): Promise<URLSearchParams> {
  const { subject, authorizationServer } = server.provider
  const parameters = new URLSearchParams({ grant_type: GRANTS[kind] })
  if (subject) {
    const token = await server.read(subject.token, clock)
    parameters.set(kind === 'jwt_bearer' ? 'assertion' : 'subject_token', token)
    if (kind === 'token_exchange') parameters.set('subject_token_type', subject.type)
  }
  if (authorizationServer?.scope !== undefined) parameters.set('scope', authorizationServer.scope)
  for (const [name, value] of authorizationServer?.params ?? []) parameters.append(name, value)
  return parameters
}
