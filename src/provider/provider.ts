/**
 * What a provider is: one YAML file that names an authorization server and an upstream (docs/providers.md).
 *
 * Knows the file's words; reads no files and opens no connections.
 */
import { DAY, HOUR, SECOND } from '../base/clock.ts'
import type { Environment } from '../base/environment.ts'
import { type AuthorizationServerConfig, toAuthorizationServer } from './authorization-server-config.ts'
import { type AwsSigV4Config, toAwsSigV4 } from './aws-sigv4.ts'
import { type Egress, toEgress } from './egress.ts'
import { type ExpiredRule, toExpiredRules } from './expired-rules.ts'
import { Fields } from './fields.ts'
import { checkNothingKept, type Given, type Lack, lackOf, readAll, Unprinted } from './given.ts'
import { type Input, toInputs } from './inputs.ts'
import { type Listing, toListing } from './listing.ts'
import { usesMetadata } from './metadata-source.ts'
import { checkNeeds } from './needs.ts'
import { UnfitValue, type Values } from './placeholders.ts'
import type { ProviderFile } from './provider-file.ts'
import { isLogin } from './renewal-class.ts'
import { type SignedJwt, toSignedJwt } from './signed-jwt-config.ts'
import { type Source, type SourceReading, toSource } from './source.ts'
import { LOGIN, SUBJECT, type TokenStep, toTokenRequest } from './token-request.ts'
import { type Address, addressProblem, toHttpHosts } from './upstream-address.ts'
import { toUpstream, type UpstreamConfig } from './upstream-config.ts'

export type CredentialKind = ProviderFile['credential']

export interface WebSessionConfig {
  readonly refreshEndpoint: string
  readonly refreshBeforeMs: number
  readonly checkEveryMs: number
}

export interface RefreshConfig {
  readonly beforeMs: number
  readonly waitMs: number
  readonly timeoutMs: number
  /** Of what is asked for: one token for all replicas; else each process gets its own. */
  readonly isShared: boolean
  /** Refreshes that one replica has under way at that server at most. */
  readonly atOnce: number
  /** Refreshes that one replica begins in a second at most; undefined: as many as that allows. */
  readonly perSecond: number | undefined
}

export interface Provider extends Listing {
  readonly name: string
  /** Where it is written, or CONFIG_FILE if that adds to it. */
  readonly file: string
  readonly kind: CredentialKind
  /** What each config says for itself; none: all of them are as the file says. */
  readonly inputs: readonly Input[]
  /** What this config says of them, as it was given; see {@link withInputs}. */
  readonly given: Given
  /** What its inputs are, for texts that are filled for each request (`Fields.late`, `fillText`). */
  readonly values: Values
  /** Inputs that lack a value, or have one that the file does not take. If there are any, nothing is filled in and nothing may be sent. */
  readonly lacking: readonly Lack[]
  /** Variables of the environment that the file reads, without which no account of it works, and that are not set. */
  readonly missingVariables: readonly string[]
  readonly authorizationServer: AuthorizationServerConfig | undefined
  /** Of token_exchange and jwt_bearer: what is traded. */
  readonly subject: { readonly token: Source; readonly type: string } | undefined
  /** Of signed_jwt: what calls carry is signed here. */
  readonly signedJwt: SignedJwt | undefined
  /** Of token_request, and of a login in two steps, whose token they trade: its steps, in their order. */
  readonly tokenRequest: readonly TokenStep[] | undefined
  readonly webSession: WebSessionConfig | undefined
  readonly awsSigV4: AwsSigV4Config | undefined
  /** The way out of token calls and of upstream's; undefined: as everything else leaves. */
  readonly egress: Egress | undefined
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
  readonly errors: {
    readonly invalidGrant: ReadonlySet<string>
    /** Of what may be asked again: further codes that only a person can mend. */
    readonly refused: ReadonlySet<string>
    readonly quota: ReadonlySet<string>
    readonly expired: readonly ExpiredRule[]
  }
  /** Its addresses are the built-in sandbox's. */
  readonly isSandbox: boolean
  /** http on a loopback address is allowed (`allow_insecure_loopback`, or the built-in sandbox). */
  readonly allowsInsecureLoopback: boolean
  /** The same file with what another config says; undefined: it has no inputs. */
  readonly fill: ((given: Given, read?: typeof readAll) => Provider) | undefined
}

/**
 * A provider as one config has it: every placeholder filled with what it says, with the file's default where it says
 * nothing. Of one type with the file itself, so that nobody further on knows of inputs; where `lacking` names any,
 * nothing is filled in. Each call makes a new one: whoever holds a config keeps its provider with it.
 */
export function withInputs(provider: Provider, given: Given, read?: typeof readAll): Provider {
  return provider.fill?.(given, read) ?? provider
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
  readonly env: Environment
  readonly allowInsecureLoopback: boolean
  /** Where `sandbox:/path` addresses point, e.g. `http://127.0.0.1:40123`. */
  readonly sandboxOrigin: string | undefined
}

/** @throws ProviderMistake */
export function toProvider(name: string, file: ProviderFile, around: ProviderSurroundings): Provider {
  checkNeeds(file)
  const all = toInputs(file.inputs, around.env)
  const fields = new Fields(new Map(all.map((input) => [input.name, input])), around.env)
  const isSandbox = JSON.stringify(file).includes('"sandbox:/')
  const allowsInsecureLoopback = around.allowInsecureLoopback || isSandbox
  const places = (of: Fields, isOpen: boolean) =>
    toPlaces(file, around, of, { allowsInsecureLoopback, isOpen })
  const first = places(fields, false)
  // CONFIG_FILE may have said what they were for: such inputs nobody is asked for.
  const inputs = all.filter(({ name: input }) => fields.used.has(input))
  const isOpen = inputs.some(({ isAnyHost }) => isAnyHost)
  const raw = isOpen ? places(fields, isOpen) : first
  if (isOpen) checkNothingKept(file, inputs)
  const common = {
    name,
    file: around.file,
    ...toListing(name, file),
    kind: file.credential,
    inputs,
    missingVariables: [...fields.unset],
    apiKey: toApiKey(file.api_key),
    ...toPatience(file),
    isSandbox,
    allowsInsecureLoopback,
  }
  const filled = (given: Given, read = readAll): Provider => {
    const { values, lacking } = read(inputs, given)
    const state = {
      ...common,
      given: new Unprinted(given),
      values,
      lacking,
      fill: inputs.length > 0 ? filled : undefined,
    }
    if (lacking.length > 0) return { ...state, ...raw }
    try {
      return { ...state, ...places(fields.with(values), isOpen) }
    } catch (error) {
      if (error instanceof UnfitValue) return { ...state, ...raw, lacking: [lackOf(error)] }
      throw error
    }
  }
  return inputs.length > 0
    ? filled(new Map())
    : { ...common, ...raw, given: new Map(), values: new Map(), lacking: [], fill: undefined }
}

/** Where it is, and who we are there: all that inputs are for. @throws ProviderMistake | UnfitValue */
function toPlaces(
  file: ProviderFile,
  around: ProviderSurroundings,
  fields: Fields,
  { allowsInsecureLoopback, isOpen }: { allowsInsecureLoopback: boolean; isOpen: boolean },
): Pick<
  Provider,
  | 'authorizationServer'
  | 'subject'
  | 'signedJwt'
  | 'tokenRequest'
  | 'webSession'
  | 'awsSigV4'
  | 'egress'
  | 'upstream'
> {
  const httpHosts = toHttpHosts(file.upstream.allow_http_hosts)
  const egress = toEgress(file, around.env, isOpen)
  const address: Address = (text, ...path) => {
    const absolute = text?.replace(/^sandbox:\//, `${around.sandboxOrigin}/`)
    const allowed = path[0] === 'upstream' ? httpHosts : undefined
    return fields.address(absolute, (one) => addressProblem(one, allowsInsecureLoopback, allowed), ...path)
  }
  const reading = { fields, address, allowsLoopback: allowsInsecureLoopback }
  return {
    authorizationServer: toAuthorizationServer(
      file.authorization_server,
      reading,
      file.credential === 'authorization_code',
    ),
    subject: toSubject(file, reading),
    awsSigV4: toAwsSigV4(file.aws_sigv4, fields, around.env),
    signedJwt: file.signed_jwt && toSignedJwt(file.signed_jwt, fields, 'signed_jwt'),
    tokenRequest: toSteps(file, reading),
    webSession: file.session && {
      refreshEndpoint: address(file.session.refresh_endpoint, 'session', 'refresh_endpoint') ?? '',
      refreshBeforeMs: (file.session.refresh_before_days ?? 3) * DAY,
      checkEveryMs: (file.session.check_every_hours ?? 24) * HOUR,
    },
    egress,
    upstream: toUpstream(file.upstream, address, httpHosts, fields, egress),
  }
}

/** @throws ProviderMistake | UnfitValue */
function toSubject(file: ProviderFile, reading: SourceReading): Provider['subject'] {
  const token = toSource(file.subject_token, reading, 'subject_token')
  if (!token) return undefined
  const { subject_token_type: type = 'jwt' } = file
  return { token, type: type.includes(':') ? type : `urn:ietf:params:oauth:token-type:${type}` }
}

/** @throws ProviderMistake | UnfitValue */
function toSteps({ credential, token_request, subject_token }: ProviderFile, reading: SourceReading) {
  const before: [string, Set<string>][] = []
  if (subject_token !== undefined) before.push([SUBJECT, new Set()])
  if (isLogin(credential)) before.push([LOGIN, new Set(['token'])])
  return token_request && toTokenRequest(token_request, reading, before, 'token_request')
}

function toPatience(file: ProviderFile): Pick<Provider, 'refresh' | 'errors'> {
  const { refresh = {}, errors = {} } = file
  return {
    refresh: {
      beforeMs: (refresh.before_seconds ?? 300) * SECOND,
      waitMs: (refresh.wait_seconds ?? 2) * SECOND,
      timeoutMs: (refresh.timeout_seconds ?? 10) * SECOND,
      isShared: (refresh.share ?? true) && !usesMetadata(file),
      atOnce: refresh.at_once ?? 32,
      perSecond: refresh.per_second,
    },
    errors: {
      invalidGrant: new Set(['invalid_grant', ...(errors.invalid_grant ?? [])]),
      refused: new Set(errors.refused),
      quota: new Set([...QUOTA_CODES, ...(errors.quota ?? [])]),
      expired: toExpiredRules(errors.expired),
    },
  }
}

function toApiKey({ prefix, not, hint, sisters = [] }: ProviderFile['api_key'] = {}): Provider['apiKey'] {
  return { prefix, not, hint, sisters }
}

/**
 * The origin of whoever renews its credentials: what it bears, it bears of all files that name it. '' where nobody does,
 * or where a config has still to say.
 */
export function serverOf({
  authorizationServer,
  webSession,
}: Pick<Provider, 'authorizationServer' | 'webSession'>): string {
  const url = authorizationServer?.tokenEndpoint ?? authorizationServer?.issuer ?? webSession?.refreshEndpoint
  return url !== undefined && URL.canParse(url) ? new URL(url).origin : ''
}

/** Whether a key looks like one of this provider. */
export function looksLikeKeyOf({ apiKey: { prefix, not } }: Provider, key: string): boolean {
  return (!prefix || key.startsWith(prefix)) && (!not || !key.startsWith(not))
}
