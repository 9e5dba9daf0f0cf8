/**
 * What a provider file says of its authorization server.
 */
import type { Secret } from '../base/secret.ts'
import type { Fields } from './fields.ts'
import type { ProviderFile } from './provider-file.ts'
import type { Address } from './upstream-address.ts'

export interface AuthorizationServerConfig {
  readonly issuer: string | undefined
  readonly deviceAuthorizationEndpoint: string | undefined
  readonly tokenEndpoint: string | undefined
  readonly revocationEndpoint: string | undefined
  readonly clientId: string
  readonly clientSecret: Secret | undefined
  readonly clientAuthentication: 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'
  /** PKCS #8 in PEM, for private_key_jwt (RFC 7523). */
  readonly privateKey: Secret | undefined
  readonly keyId: string | undefined
  readonly algorithm: 'RS256' | 'ES256'
  readonly scope: string | undefined
  readonly pkce: boolean
}

/** @throws ProviderMistake | UnfitValue */
export function toAuthorizationServer(
  server: ProviderFile['authorization_server'],
  address: Address,
  fields: Fields,
): AuthorizationServerConfig | undefined {
  if (!server) return undefined
  const at = (name: 'issuer' | 'device_authorization_endpoint' | 'token_endpoint' | 'revocation_endpoint') =>
    address(server[name], 'authorization_server', name)
  const say = (name: 'client_id' | 'key_id' | 'scope') =>
    fields.text(server[name], 'authorization_server', name)
  const secret = (name: 'client_secret' | 'private_key') =>
    fields.secret(server[name], 'authorization_server', name)
  return {
    issuer: at('issuer'),
    deviceAuthorizationEndpoint: at('device_authorization_endpoint'),
    tokenEndpoint: at('token_endpoint'),
    revocationEndpoint: at('revocation_endpoint'),
    clientId: say('client_id') ?? '',
    clientSecret: secret('client_secret'),
    clientAuthentication: server.client_authentication ?? 'client_secret_basic',
    privateKey: secret('private_key'),
    keyId: say('key_id'),
    algorithm: server.algorithm ?? 'RS256',
    scope: say('scope'),
    pkce: server.pkce ?? true,
  }
}
