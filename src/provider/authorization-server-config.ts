/**
 * What a provider file says of its authorization server.
 */
import { SECOND } from '../base/clock.ts'
import type { Secret } from '../base/secret.ts'
import type { AuthorizationServerFile, RedirectFile } from './authorization-server-file.ts'
import type { Fields } from './fields.ts'
import { toHeaders } from './provider-headers.ts'
import { type Source, type SourceReading, toSource } from './source.ts'

/** Where the browser of a login by authorization code is sent back to. */
export interface Redirect {
  /** To the broker. */
  readonly hasCallback: boolean
  /** To a terminal's own machine; port 0: whichever is free. */
  readonly loopback: { readonly host: string; readonly port: number; readonly path: string }
  /** A person may bring the address instead. */
  readonly canPaste: boolean
}

export interface AuthorizationServerConfig {
  readonly issuer: string | undefined
  readonly authorizationEndpoint: string | undefined
  readonly deviceAuthorizationEndpoint: string | undefined
  readonly tokenEndpoint: string | undefined
  readonly revocationEndpoint: string | undefined
  /** '' where there is none. */
  readonly clientId: string
  readonly clientSecret: Secret | undefined
  readonly clientAuthentication: NonNullable<AuthorizationServerFile['client_authentication']>
  /** PKCS #8 in PEM, for private_key_jwt (RFC 7523). */
  readonly privateKey: Source | undefined
  readonly certificate: Source | undefined
  /** For client_assertion: a JWT of somebody else's. */
  readonly clientAssertion: Source | undefined
  /** Undefined: as the library has it, the issuer. */
  readonly assertionAudience: string | undefined
  readonly keyId: string | undefined
  readonly algorithm: 'RS256' | 'PS256' | 'ES256'
  readonly scope: string | undefined
  /** Of an access token where an answer does not say; undefined: its own word counts, if it is a JWT. */
  readonly lifetimeMs: number | undefined
  /** Of token requests and of the start of a login, in the file's order; without those whose optional input is unset. */
  readonly params: Params
  /** Of the authorization request of a login by code. */
  readonly authorizationParams: Params
  readonly redirect: Redirect
  /** Of token requests; names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: 'form' | 'json'
  readonly pkce: boolean
}

type Params = readonly [name: string, value: string][]

const PATH = 'authorization_server'

/** @throws ProviderMistake | UnfitValue */
export function toAuthorizationServer(
  server: AuthorizationServerFile | undefined,
  reading: SourceReading,
  isCodeLogin: boolean,
): AuthorizationServerConfig | undefined {
  if (!server) return undefined
  const { address, fields } = reading
  const at = (
    name: 'issuer' | `${'authorization' | 'device_authorization' | 'token' | 'revocation'}_endpoint`,
  ) => address(server[name], PATH, name)
  const say = (name: 'key_id' | 'assertion_audience') => fields.text(server[name], PATH, name)
  // The address that a browser is sent to has them.
  const ask = (name: 'client_id' | 'scope') =>
    isCodeLogin ? fields.open(server[name], PATH, name) : fields.text(server[name], PATH, name)
  const source = (name: 'certificate' | 'client_assertion') => toSource(server[name], reading, PATH, name)
  return {
    issuer: at('issuer'),
    authorizationEndpoint: at('authorization_endpoint'),
    deviceAuthorizationEndpoint: at('device_authorization_endpoint'),
    tokenEndpoint: at('token_endpoint'),
    revocationEndpoint: at('revocation_endpoint'),
    clientId: ask('client_id') ?? '',
    clientSecret: fields.secret(server.client_secret, PATH, 'client_secret'),
    clientAuthentication: authenticationOf(server),
    privateKey: privateKeyOf(server.private_key, reading),
    certificate: source('certificate'),
    clientAssertion: source('client_assertion'),
    assertionAudience: say('assertion_audience'),
    keyId: say('key_id'),
    algorithm: server.algorithm ?? 'RS256',
    scope: ask('scope'),
    lifetimeMs: server.lifetime_seconds && server.lifetime_seconds * SECOND,
    params: paramsOf(server, 'params', fields, isCodeLogin),
    authorizationParams: paramsOf(server, 'authorization_params', fields, true),
    redirect: redirectOf(server.redirect),
    headers: toHeaders(server.headers, fields, [PATH, 'headers']),
    body: server.body ?? 'form',
    pkce: server.pkce ?? true,
  }
}

/** What it has, where the file does not say. */
function authenticationOf(
  server: AuthorizationServerFile,
): AuthorizationServerConfig['clientAuthentication'] {
  if (server.client_authentication) return server.client_authentication
  if (server.private_key !== undefined) return 'private_key_jwt'
  if (server.client_assertion !== undefined) return 'client_assertion'
  return server.client_secret === undefined ? 'none' : 'client_secret_basic'
}

/** A variable of the environment that is not set stops the start here, as it always did. @throws ProviderMistake | UnfitValue */
function privateKeyOf(
  given: AuthorizationServerFile['private_key'],
  reading: SourceReading,
): Source | undefined {
  const path = [PATH, 'private_key']
  if (typeof given !== 'string') return toSource(given, reading, ...path)
  const text = reading.fields.secret(given, ...path)
  return { from: 'text', name: path.join('.'), text, lacks: 'has no value' }
}

/** @param isOpen the person's browser carries them */
function paramsOf(
  server: AuthorizationServerFile,
  field: 'params' | 'authorization_params',
  fields: Fields,
  isOpen: boolean,
): [string, string][] {
  return Object.entries(server[field] ?? {}).flatMap(([name, given]) =>
    [given].flat().flatMap((value): [string, string][] => {
      const path = [PATH, field, name]
      const text = isOpen ? fields.open(value, ...path) : fields.text(value, ...path)
      return text === undefined ? [] : [[name, text]]
    }),
  )
}

function redirectOf({ callback = true, loopback = {}, paste = true }: RedirectFile = {}): Redirect {
  const { host = '127.0.0.1', port = 0, path = '/callback' } = loopback
  return { hasCallback: callback, loopback: { host, port, path }, canPaste: paste }
}
