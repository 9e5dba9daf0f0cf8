/**
 * What a provider is: one YAML file that names an authorization server and an upstream (interface.md §3).
 *
 * Knows the file's words and which addresses are allowed; reads no files and opens no connections.
 */
import { DAY, HOUR, SECOND } from './clock.ts'
import type { ProviderFile } from './provider-file.ts'
import { Secret } from './secret.ts'

export type CredentialKind = ProviderFile['credential']

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

export interface SessionConfig {
  readonly refreshEndpoint: string
  readonly refreshBeforeMs: number
  readonly checkEveryMs: number
}

export interface Provider {
  readonly name: string
  /** Where it is written, or CONFIG_FILE if that adds to it. */
  readonly file: string
  readonly label: string
  readonly kind: CredentialKind
  readonly authorizationServer: AuthorizationServerConfig | undefined
  readonly session: SessionConfig | undefined
  readonly upstream: {
    readonly baseUrl: string | undefined
    readonly resourceHosts: ReadonlySet<string>
    readonly headers: Readonly<Record<string, string>>
    readonly models: readonly string[]
    /** After so much silence an event stream gets a comment; undefined: never. */
    readonly keepAliveMs: number | undefined
    /** Whose calls stay together: `user`, or `header:` and its name in lower case. */
    readonly stickyBy: string | undefined
  }
  /** What its keys look like, so that a key of another plan is refused with a hint instead of a 401 later. */
  readonly apiKey: {
    readonly prefix: string | undefined
    readonly not: string | undefined
    readonly hint: string | undefined
  }
  readonly refresh: { readonly beforeMs: number; readonly waitMs: number; readonly timeoutMs: number }
  /** How this server spells errors that RFC 6749 spells otherwise. */
  readonly errors: { readonly invalidGrant: ReadonlySet<string>; readonly quota: ReadonlySet<string> }
  /** http on a loopback address is allowed (`allow_insecure_loopback`, or the built-in sandbox). */
  readonly allowsInsecureLoopback: boolean
}

/** A mistake in a provider file, with the path of the field inside it. */
export class ProviderMistake extends Error {
  readonly path: readonly string[]

  constructor(path: readonly string[], message: string) {
    super(message)
    this.path = path
  }
}

export interface ProviderSurroundings {
  readonly file: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly allowInsecureLoopback: boolean
  /** Where `sandbox:/path` addresses point, e.g. `http://127.0.0.1:40123`. */
  readonly sandboxOrigin: string | undefined
}

const LOOPBACK = /^(127(\.\d{1,3}){3}|\[::1\]|localhost)$/

type Address = (text: string | undefined, ...path: string[]) => string | undefined

/** @throws ProviderMistake */
export function toProvider(name: string, file: ProviderFile, around: ProviderSurroundings): Provider {
  checkNeeds(file)
  const isSandbox = JSON.stringify(file).includes('"sandbox:/')
  const allowsInsecureLoopback = around.allowInsecureLoopback || isSandbox
  const address: Address = (text, ...path) => {
    if (text === undefined) return undefined
    const absolute = text.replace(/^sandbox:\//, `${around.sandboxOrigin}/`)
    const problem = addressProblem(absolute, allowsInsecureLoopback)
    if (problem) throw new ProviderMistake(path, problem)
    return absolute
  }
  const { refresh = {}, errors = {}, upstream } = file
  return {
    name,
    file: around.file,
    label: file.label ?? name,
    kind: file.credential,
    authorizationServer: toAuthorizationServer(file.authorization_server, address, around.env),
    session: file.session && {
      refreshEndpoint: address(file.session.refresh_endpoint, 'session', 'refresh_endpoint') ?? '',
      refreshBeforeMs: (file.session.refresh_before_days ?? 3) * DAY,
      checkEveryMs: (file.session.check_every_hours ?? 24) * HOUR,
    },
    upstream: {
      baseUrl: address(upstream.base_url, 'upstream', 'base_url')?.replace(/\/+$/, ''),
      resourceHosts: new Set(upstream.resource_hosts),
      headers: toHeaders(upstream.headers),
      models: upstream.models ?? [],
      keepAliveMs: upstream.keep_alive_seconds && upstream.keep_alive_seconds * SECOND,
      stickyBy: upstream.sticky_by?.toLowerCase(),
    },
    apiKey: { prefix: file.api_key?.prefix, not: file.api_key?.not, hint: file.api_key?.hint },
    refresh: {
      beforeMs: (refresh.before_seconds ?? 300) * SECOND,
      waitMs: (refresh.wait_seconds ?? 2) * SECOND,
      timeoutMs: (refresh.timeout_seconds ?? 10) * SECOND,
    },
    errors: {
      invalidGrant: new Set(['invalid_grant', ...(errors.invalid_grant ?? [])]),
      quota: new Set(errors.quota ?? ['insufficient_quota', 'quota_exceeded']),
    },
    allowsInsecureLoopback,
  }
}

/** What a kind of credential cannot do without. */
function checkNeeds({ credential, authorization_server: server, session }: ProviderFile): void {
  const path = ['authorization_server']
  if (credential === 'session' && !session) {
    throw new ProviderMistake([], 'credential session needs session.refresh_endpoint')
  }
  if (credential === 'session' || credential === 'api_key') return
  if (!server) throw new ProviderMistake([], `credential ${credential} needs authorization_server`)
  if (!server.issuer && !server.token_endpoint) {
    throw new ProviderMistake(path, 'needs token_endpoint, or issuer for discovery')
  }
  if (credential === 'device_code' && !server.issuer && !server.device_authorization_endpoint) {
    throw new ProviderMistake(path, 'needs device_authorization_endpoint, or issuer for discovery')
  }
  if (credential === 'client_credentials' && !server.client_secret && !server.private_key) {
    throw new ProviderMistake(path, 'client_credentials needs client_secret or private_key')
  }
  if (server.client_authentication === 'private_key_jwt' && !server.private_key) {
    throw new ProviderMistake([...path, 'client_authentication'], 'private_key_jwt needs private_key')
  }
}

function toAuthorizationServer(
  server: ProviderFile['authorization_server'],
  address: Address,
  env: ProviderSurroundings['env'],
): AuthorizationServerConfig | undefined {
  if (!server) return undefined
  const at = (name: 'issuer' | 'device_authorization_endpoint' | 'token_endpoint' | 'revocation_endpoint') =>
    address(server[name], 'authorization_server', name)
  return {
    issuer: at('issuer'),
    deviceAuthorizationEndpoint: at('device_authorization_endpoint'),
    tokenEndpoint: at('token_endpoint'),
    revocationEndpoint: at('revocation_endpoint'),
    clientId: server.client_id,
    clientSecret: secretOf('client_secret', server.client_secret, env),
    clientAuthentication: server.client_authentication ?? 'client_secret_basic',
    privateKey: secretOf('private_key', server.private_key, env),
    keyId: server.key_id,
    algorithm: server.algorithm ?? 'RS256',
    scope: server.scope,
    pkce: server.pkce ?? true,
  }
}

/**
 * What is wrong with an address we would send a secret to, or undefined.
 * Only https; http on loopback where allowed. No user info, query or fragment (design.md §6).
 */
export function addressProblem(text: string, allowsInsecureLoopback: boolean): string | undefined {
  if (!URL.canParse(text)) return 'is not a URL; write e.g. https://host/path'
  const parsed = new URL(text)
  if (parsed.username || parsed.password) return 'must not hold a user name or password'
  if (parsed.search || parsed.hash) return 'must not hold a query or fragment'
  if (parsed.protocol === 'https:') return undefined
  if (parsed.protocol === 'http:' && LOOPBACK.test(parsed.hostname)) {
    return allowsInsecureLoopback
      ? undefined
      : 'must be https (http on loopback needs allow_insecure_loopback: true)'
  }
  return 'must be https'
}

/** The value itself, or `env:NAME`. */
function secretOf(
  field: string,
  text: string | undefined,
  env: ProviderSurroundings['env'],
): Secret | undefined {
  if (text === undefined) return undefined
  if (!text.startsWith('env:')) return new Secret(text)
  const name = text.slice('env:'.length)
  const value = env[name]
  if (!value) {
    throw new ProviderMistake(['authorization_server', field], `reads ${name}, which is not set`)
  }
  return new Secret(value)
}

/** A request with two of these could be read in two ways. */
const OWN_HEADERS = new Set([
  'authorization',
  'connection',
  'content-length',
  'host',
  'transfer-encoding',
  'upgrade',
])

/** @throws ProviderMistake */
function toHeaders(given: Record<string, string> = {}): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(given)) {
    if (OWN_HEADERS.has(name.toLowerCase())) {
      throw new ProviderMistake(['upstream', 'headers', name], 'is set by the broker itself')
    }
    headers[name.toLowerCase()] = value
  }
  return headers
}
