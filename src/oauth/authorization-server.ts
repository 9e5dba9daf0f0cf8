/**
 * An authorization server: its endpoints (from the provider file, or discovered), and how we prove who we are.
 *
 * Request forms and client authentication are oauth4webapi's. Reading answers is ours, because real servers
 * answer errors at status 200, HTML at any status, and `slow_down` at 429 (wire facts of Qwen and others).
 */
import {
  allowInsecureRequests,
  type Client,
  type ClientAuth,
  customFetch,
  discoveryRequest,
  type AuthorizationServer as ServerMetadata,
} from 'oauth4webapi'
import type { Dispatcher } from 'undici'
import { systemClock } from '../base/clock.ts'
import type { AuthorizationServerConfig } from '../provider/authorization-server-config.ts'
import type { Provider } from '../provider/provider.ts'
import type { Source } from '../provider/source.ts'
import { addressProblem } from '../provider/upstream-address.ts'
import { clientAuthentication } from './client-authentication.ts'
import { ask } from './request.ts'
import { SourceTrouble } from './simple-sources.ts'
import { readSource } from './sources.ts'
import { exchange, type JsonObject, type WireAnswer } from './wire.ts'

/** What oauth4webapi hands to fetch. */
interface Init {
  readonly method: 'GET' | 'POST'
  readonly headers: Record<string, string>
  readonly body?: unknown
}

export interface RequestOptions {
  readonly signal: AbortSignal
  readonly headers: Record<string, string>
  readonly [customFetch]: (url: string, init: Init) => Promise<Response>
  readonly [allowInsecureRequests]: boolean
}

/** What a request of oauth4webapi takes in front of its own parameters. */
export interface Endpoint {
  readonly metadata: ServerMetadata
  readonly client: Client
  readonly clientAuthentication: ClientAuth
}

const ENDPOINTS = [
  'authorization_endpoint',
  'device_authorization_endpoint',
  'token_endpoint',
  'revocation_endpoint',
] as const
/** RFC 9207 §3. */
const NAMES_ITSELF = 'authorization_response_iss_parameter_supported'
type Found = Partial<Record<(typeof ENDPOINTS)[number], string>> & { [NAMES_ITSELF]?: true }

export class AuthorizationServer {
  readonly provider: Provider
  readonly #config: AuthorizationServerConfig
  readonly #dispatcher: Dispatcher
  /** Kept once it is known; a failed discovery is tried again with the next request. */
  #endpoint: Promise<Omit<Endpoint, 'clientAuthentication'>> | undefined

  constructor(provider: Provider, dispatcher: Dispatcher) {
    if (!provider.authorizationServer)
      throw new TypeError(`provider ${provider.name} has no authorization server`)
    this.provider = provider
    this.#config = provider.authorizationServer
    this.#dispatcher = dispatcher
  }

  /** What a token call is made with. @throws SourceTrouble */
  read(source: Source, clock: () => number): Promise<string> {
    return readSource(source, { provider: this.provider, dispatcher: this.#dispatcher, clock })
  }

  /** Sends once, never again by itself. Resolves for every outcome; rejects only for programming errors. */
  async exchange(
    send: (to: Endpoint, options: RequestOptions) => Promise<Response>,
    headers: Record<string, string> = {},
  ): Promise<WireAnswer> {
    let to: Endpoint
    try {
      const known = await this.endpoint()
      to = {
        ...known,
        clientAuthentication: await clientAuthentication(this.#config, known.metadata, (source) =>
          this.read(source, systemClock),
        ),
      }
    } catch (error) {
      if (error instanceof SourceTrouble) return error.answer
      return { kind: 'unreachable', why: (error as Error).message }
    }
    return this.#exchange((options) => send(to, options), { ...this.#config.headers, ...headers })
  }

  /** @throws Error, one line that names the provider file's field, if discovery does not work out */
  endpoint(): Promise<Omit<Endpoint, 'clientAuthentication'>> {
    this.#endpoint ??= this.#resolve().catch((error: unknown) => {
      this.#endpoint = undefined
      throw error
    })
    return this.#endpoint
  }

  async #resolve(): Promise<Omit<Endpoint, 'clientAuthentication'>> {
    const { issuer, tokenEndpoint, deviceAuthorizationEndpoint, revocationEndpoint, clientId } = this.#config
    const { authorizationEndpoint } = this.#config
    const found = issuer === undefined ? {} : await this.#discover(issuer)
    return {
      metadata: {
        issuer: issuer ?? new URL(tokenEndpoint ?? '').origin,
        ...found,
        ...(authorizationEndpoint && { authorization_endpoint: authorizationEndpoint }),
        ...(tokenEndpoint && { token_endpoint: tokenEndpoint }),
        ...(revocationEndpoint && { revocation_endpoint: revocationEndpoint }),
        ...(deviceAuthorizationEndpoint && { device_authorization_endpoint: deviceAuthorizationEndpoint }),
      },
      client: { client_id: clientId || NO_CLIENT },
    }
  }

  /** OpenID Connect Discovery 1.0 §4. The document must name the very issuer it was asked for (§4.3). */
  async #discover(issuer: string): Promise<Found> {
    const field = `${this.provider.file}: authorization_server.issuer`
    const answer = await this.#exchange((options) =>
      discoveryRequest(new URL(issuer), { ...options, headers: new Headers(options.headers) }),
    )
    if (answer.kind !== 'answer') throw new Error(`${field} cannot be reached (${answer.why})`)
    const document: JsonObject | undefined = answer.status === 200 ? answer.body : undefined
    if (!document) throw new Error(`${field} has no discovery document (status ${answer.status})`)
    if (document['issuer'] !== issuer) {
      throw new Error(
        `${field} must be ${String(document['issuer']).slice(0, MAX_ISSUER)}, as its discovery document says`,
      )
    }
    const found: Found = document[NAMES_ITSELF] === true ? { [NAMES_ITSELF]: true } : {}
    for (const name of ENDPOINTS) {
      const url = document[name]
      if (typeof url !== 'string') continue
      const problem = addressProblem(url, this.provider.allowsInsecureLoopback)
      if (problem) throw new Error(`${field}: the ${name} it names ${problem}`)
      found[name] = url
    }
    return found
  }

  #exchange(send: (options: RequestOptions) => Promise<Response>, headers: Record<string, string> = {}) {
    const { clientSecret } = this.#config
    const sent = clientSecret ? [clientSecret.reveal()] : []
    const request = (signal: AbortSignal, dispatcher: Dispatcher) =>
      send({
        signal,
        headers: { 'user-agent': 'token-broker', ...headers },
        [customFetch]: (url, init) => {
          sent.push(...secretsIn(init))
          const due = this.#config.body === 'json' ? asJson(init) : init
          const question = { ...due, body: due.body?.toString(), signal }
          return ask(dispatcher, url, question) as unknown as Promise<Response>
        },
        [allowInsecureRequests]: this.provider.allowsInsecureLoopback,
      })
    return exchange(this.#dispatcher, this.provider.refresh.timeoutMs, request, sent)
  }
}

const MAX_ISSUER = 200
/** The library wants one; `clientAuthentication` does not send it. */
const NO_CLIENT = 'none'
/** What else of a form may be shown. */
const PUBLIC_FIELDS = new Set([
  'grant_type',
  'client_id',
  'redirect_uri',
  'client_assertion_type',
  'scope',
  'token_type_hint',
  'subject_token_type',
  'audience',
  'resource',
])
const PUBLIC_CHALLENGE = /^code_challenge/

/** Tokens, codes and proofs of who we are, whatever the grant. */
function secretsIn({ body, headers }: { body?: unknown; headers?: unknown }): string[] {
  const form = body instanceof URLSearchParams ? [...body] : []
  const [, credentials] =
    new Headers(headers as Record<string, string>).get('authorization')?.split(' ') ?? []
  return [
    ...form.flatMap(([name, value]) =>
      PUBLIC_FIELDS.has(name) || PUBLIC_CHALLENGE.test(name) ? [] : [value],
    ),
    ...(credentials === undefined ? [] : [credentials]),
  ]
}

/** The form as one JSON object; what stands there more than once is a list. */
function asJson(init: Init): Init {
  const { body, headers } = init
  if (!(body instanceof URLSearchParams)) return init
  const members = [...new Set(body.keys())].map((name) => {
    const values = body.getAll(name)
    return [name, values.length > 1 ? values : values[0]]
  })
  const typed = { ...headers, 'content-type': 'application/json' }
  return { ...init, headers: typed, body: JSON.stringify(Object.fromEntries(members)) }
}
