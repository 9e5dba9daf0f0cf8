/**
 * What a provider is: one YAML file that names an authorization server and an upstream (docs/providers.md).
 *
 * Knows the file's words; reads no files and opens no connections.
 */
import { DAY, HOUR, SECOND } from '../base/clock.ts'
import { ConfigError, secretOf } from '../base/environment.ts'
import { Secret } from '../base/secret.ts'
import type { ProviderFile } from './provider-file.ts'
import { ProviderMistake } from './provider-mistake.ts'
import { missingLines } from './template.ts'
import { type Address, addressProblem, toHttpHosts } from './upstream-address.ts'
import { toUpstream, type UpstreamConfig } from './upstream-config.ts'

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

export interface WebSessionConfig {
  readonly refreshEndpoint: string
  readonly refreshBeforeMs: number
  readonly checkEveryMs: number
}

export interface RefreshConfig {
  readonly beforeMs: number
  readonly waitMs: number
  readonly timeoutMs: number
  /** Refreshes that one replica has under way at this server at most. */
  readonly atOnce: number
  /** Refreshes that one replica begins in a second at most; undefined: as many as that allows. */
  readonly perSecond: number | undefined
}

export interface Provider {
  readonly name: string
  /** Where it is written, or CONFIG_FILE if that adds to it. */
  readonly file: string
  readonly label: string
  /** Where a person gets a key, a session or an account. */
  readonly helpUrl: string | undefined
  readonly kind: CredentialKind
  /** Of a template: what CONFIG_FILE is to say, as an example. Undefined: nothing is missing. */
  readonly missingLines: string | undefined
  readonly authorizationServer: AuthorizationServerConfig | undefined
  readonly webSession: WebSessionConfig | undefined
  readonly upstream: UpstreamConfig
  /** What its keys look like, so that a key of another plan is refused with a hint instead of a 401 later. */
  readonly apiKey: {
    readonly prefix: string | undefined
    readonly not: string | undefined
    readonly hint: string | undefined
    /** Names of providers by the same vendor, which may be asked whose key this is. */
    readonly sisters: readonly string[]
  }
  readonly refresh: RefreshConfig
  /** How this server spells errors that RFC 6749 spells otherwise. */
  readonly errors: { readonly invalidGrant: ReadonlySet<string>; readonly quota: ReadonlySet<string> }
  /** http on a loopback address is allowed (`allow_insecure_loopback`, or the built-in sandbox). */
  readonly allowsInsecureLoopback: boolean
}

/** As OpenAI, portal.qwen.ai and Model Studio say it; a file adds its own. */
const QUOTA_CODES = [
  'insufficient_quota',
  'quota_exceeded',
  'Throttling.AllocationQuota',
  'AllocationQuota.FreeTierOnly',
]

export interface ProviderSurroundings {
  readonly file: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly allowInsecureLoopback: boolean
  /** Where `sandbox:/path` addresses point, e.g. `http://127.0.0.1:40123`. */
  readonly sandboxOrigin: string | undefined
}

/** @throws ProviderMistake */
export function toProvider(name: string, file: ProviderFile, around: ProviderSurroundings): Provider {
  checkNeeds(file)
  const isSandbox = JSON.stringify(file).includes('"sandbox:/')
  const allowsInsecureLoopback = around.allowInsecureLoopback || isSandbox
  const httpHosts = toHttpHosts(file.upstream.allow_http_hosts)
  const address: Address = (text, ...path) => {
    if (text === undefined) return undefined
    const absolute = text.replace(/^sandbox:\//, `${around.sandboxOrigin}/`)
    const isUpstream = path[0] === 'upstream'
    const problem = addressProblem(absolute, allowsInsecureLoopback, isUpstream ? httpHosts : undefined)
    if (problem) throw new ProviderMistake(path, problem)
    return absolute
  }
  const { refresh = {}, errors = {}, upstream } = file
  return {
    name,
    file: around.file,
    label: file.label ?? name,
    helpUrl: toHelpUrl(file.help_url),
    kind: file.credential,
    missingLines: missingLines(name, file),
    authorizationServer: toAuthorizationServer(file.authorization_server, address, around.env),
    webSession: file.session && {
      refreshEndpoint: address(file.session.refresh_endpoint, 'session', 'refresh_endpoint') ?? '',
      refreshBeforeMs: (file.session.refresh_before_days ?? 3) * DAY,
      checkEveryMs: (file.session.check_every_hours ?? 24) * HOUR,
    },
    upstream: toUpstream(upstream, address, httpHosts),
    apiKey: toApiKey(file.api_key),
    refresh: {
      beforeMs: (refresh.before_seconds ?? 300) * SECOND,
      waitMs: (refresh.wait_seconds ?? 2) * SECOND,
      timeoutMs: (refresh.timeout_seconds ?? 10) * SECOND,
      atOnce: refresh.at_once ?? 32,
      perSecond: refresh.per_second,
    },
    errors: {
      invalidGrant: new Set(['invalid_grant', ...(errors.invalid_grant ?? [])]),
      quota: new Set([...QUOTA_CODES, ...(errors.quota ?? [])]),
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

/** A page for people: nothing is ever sent there. @throws ProviderMistake */
function toHelpUrl(text: string | undefined): string | undefined {
  if (text === undefined || (URL.canParse(text) && new URL(text).protocol === 'https:')) return text
  throw new ProviderMistake(['help_url'], 'must be an https URL')
}

function toApiKey({ prefix, not, hint, sisters = [] }: ProviderFile['api_key'] = {}): Provider['apiKey'] {
  return { prefix, not, hint, sisters }
}

/** Whether a key looks like one of this provider. */
export function looksLikeKeyOf({ apiKey: { prefix, not } }: Provider, key: string): boolean {
  return (!prefix || key.startsWith(prefix)) && (!not || !key.startsWith(not))
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
    clientSecret: providerSecret('client_secret', server.client_secret, env),
    clientAuthentication: server.client_authentication ?? 'client_secret_basic',
    privateKey: providerSecret('private_key', server.private_key, env),
    keyId: server.key_id,
    algorithm: server.algorithm ?? 'RS256',
    scope: server.scope,
    pkce: server.pkce ?? true,
  }
}

/** The value itself, or `env:NAME`, which may also be in the file that NAME_FILE names. */
function providerSecret(
  field: string,
  text: string | undefined,
  env: ProviderSurroundings['env'],
): Secret | undefined {
  if (text === undefined) return undefined
  if (!text.startsWith('env:')) return new Secret(text)
  const name = text.slice('env:'.length)
  const path = ['authorization_server', field]
  try {
    const value = secretOf(env, name)
    if (value) return value
  } catch (error) {
    throw error instanceof ConfigError ? new ProviderMistake(path, `cannot be had: ${error.message}`) : error
  }
  throw new ProviderMistake(path, `reads ${name}, which is not set`)
}
