/**
 * What a provider's file makes the broker send, by the very code that sends it, to nobody: token calls, then a completion.
 */
import { completionOf } from '../../admin/ask-upstream.ts'
import { AwsKeySources } from '../../aws/aws-keys.ts'
import { NoKeys } from '../../aws/aws-question.ts'
import type { AwsKeys } from '../../base/aws-signature.ts'
import type { Clock } from '../../base/clock.ts'
import { BrokerError } from '../../base/errors.ts'
import { createRenew } from '../../credential/renew.ts'
import { redeemCode, requestAuthorization } from '../../oauth/authorization-code.ts'
import { AuthorizationServer } from '../../oauth/authorization-server.ts'
import { requestDeviceAuthorization } from '../../oauth/device-authorization.ts'
import { pollDeviceCode } from '../../oauth/device-code-grant.ts'
import { readMetadata } from '../../oauth/metadata.ts'
import type { Renewal } from '../../oauth/refresh-token-grant.ts'
import { requestBySteps } from '../../oauth/token-request.ts'
import type { TokenSet } from '../../oauth/token-response.ts'
import type { Provider } from '../../provider/provider.ts'
import { isLogin } from '../../provider/renewal-class.ts'
import { accessTo } from '../../upstream/access.ts'
import { answersOf, awsFile } from './answers.ts'
import { disguised } from './disguise.ts'
import { headersOf, Recorder, type Sent } from './recorder.ts'
import type { StandIns } from './stand-ins.ts'

/** A request, and what it is for. */
export interface Call extends Sent {
  /** `login`, `browser`, `code`, `poll`, `metadata`, `token`, or the path of a client's call. */
  readonly for: string
}

export interface Rehearsal {
  readonly calls: readonly Call[]
  /** Why there are no more of them. */
  readonly trouble: string | undefined
}

/** What stands where a token would. */
interface Held {
  readonly token: string
  readonly awsKeys?: AwsKeys
}

export async function rehearse(provider: Provider, standIns: StandIns, clock: Clock): Promise<Rehearsal> {
  const calls: Call[] = []
  try {
    const stage = new Stage(provider, standIns, clock)
    await stage.asksMachine(calls)
    await stage.logsIn(calls)
    calls.push(...callsUpstream(stage.provider, await stage.gets(calls), standIns))
    return { calls, trouble: undefined }
  } catch (error) {
    if (error instanceof NoKeys || error instanceof NoToken) return { calls, trouble: error.message }
    if (error instanceof BrokerError) return { calls, trouble: error.detail ?? error.english }
    throw error
  }
}

/** @throws NoToken */
function tokenOf(renewal: Renewal): string {
  if (renewal.kind === 'tokens') return renewal.tokens.accessToken
  throw new NoToken(renewal.why)
}

/** Why no token came: what it is made with is not there, for nothing else can fail. */
class NoToken extends Error {}

class Stage {
  readonly provider: Provider
  readonly #given: Provider
  readonly #standIns: StandIns
  readonly #clock: Clock
  readonly #recorder: Recorder

  constructor(given: Provider, standIns: StandIns, clock: Clock) {
    this.#given = given
    this.provider = disguised(given, standIns)
    this.#standIns = standIns
    this.#clock = clock
    this.#recorder = new Recorder(answersOf(this.provider, standIns))
  }

  /** Where a source is its metadata service. */
  async asksMachine(calls: Call[]): Promise<void> {
    const { subject, authorizationServer: server } = this.#given
    for (const source of [subject?.token, server?.clientAssertion, server?.privateKey, server?.certificate]) {
      if (source?.from !== 'metadata') continue
      await readMetadata({ ...source, pointer: undefined }, this.#recorder.dispatcher)
      this.#take('metadata', calls)
    }
  }

  async logsIn(calls: Call[]): Promise<void> {
    const { kind, authorizationServer } = this.provider
    if (kind === 'authorization_code') return this.#logsInByCode(calls)
    if (kind !== 'device_code') return
    await requestDeviceAuthorization(this.#server())
    this.#take('login', calls)
    const verifier = authorizationServer?.pkce ? this.#standIns.of('code_verifier') : undefined
    await pollDeviceCode(this.#server(), this.#standIns.of('device_code'), verifier, this.#clock)
    this.#take('poll', calls)
  }

  /** A person's browser, and then the code that it brings back. */
  async #logsInByCode(calls: Call[]): Promise<void> {
    const redirectUri = `https://${this.#standIns.of('PUBLIC_URL')}/oauth/callback/${this.provider.name}`
    const begun = await requestAuthorization(this.#server(), redirectUri)
    this.#take('login', calls)
    if ('failure' in begun) return
    this.#standIns.name(begun.state, 'state')
    calls.push({ for: 'browser', method: 'GET', url: begun.url, headers: {}, body: '' })
    const answer = new URLSearchParams({ code: this.#standIns.of('code'), state: begun.state })
    const codeVerifier = this.#standIns.of('code_verifier')
    await redeemCode(this.#server(), answer, { redirectUri, codeVerifier }, this.#clock)
    this.#take('code', calls)
  }

  /** @throws NoToken | NoKeys */
  async gets(calls: Call[]): Promise<Held> {
    const { kind, awsSigV4 } = this.provider
    if (kind === 'api_key') return { token: this.#standIns.of('api_key') }
    try {
      if (!awsSigV4) return { token: await this.#token() }
      const { dispatcher } = this.#recorder
      const read = awsFile(this.#standIns, awsSigV4)
      const awsKeys = await new AwsKeySources(() => dispatcher, this.#clock, dispatcher, read).fetch(awsSigV4)
      return { token: awsKeys.accessKeyId, awsKeys }
    } finally {
      this.#take('token', calls)
    }
  }

  async #token(): Promise<string> {
    const { dispatcher } = this.#recorder
    const renew = createRenew(
      () => this.#server(),
      this.#clock,
      () => dispatcher,
    )
    const { provider } = this
    const token = tokenOf(await renew({ provider, tokens: this.#held() }))
    if (!isLogin(provider.kind) || !provider.tokenRequest) return token
    // What the login is traded for, which is what calls carry.
    const login = this.#standIns.of('login.token')
    return tokenOf(await requestBySteps({ provider, dispatcher, clock: this.#clock }, login))
  }

  /** What a login, or a session, was left with. */
  #held(): TokenSet {
    return {
      accessToken: this.#standIns.of('session_token'),
      refreshToken: this.#standIns.of('refresh_token'),
      ...{ tokenType: 'Bearer', scope: undefined, expiresAt: undefined, receivedAt: undefined, metadata: {} },
    }
  }

  #server(): AuthorizationServer {
    return new AuthorizationServer(this.provider, this.#recorder.dispatcher)
  }

  #take(purpose: string, calls: Call[]): void {
    calls.push(...this.#recorder.sent.splice(0).map((sent) => ({ ...sent, for: purpose })))
  }
}

/** A completion, and what goes another way than that; none where only an account, or its token, says where to. */
function callsUpstream(provider: Provider, { token, awsKeys }: Held, standIns: StandIns): Call[] {
  const { upstream } = provider
  if (upstream.baseUrl === undefined) return []
  const access = accessTo(provider, { token, awsKeys, resourceUrl: undefined, baseUrl: '' })
  const { target, method, body } = completionOf(upstream.models[0] ?? standIns.of('model'))
  return [target, ...upstream.routes.map(({ prefix }) => `/v1${prefix}`)].map((one) => {
    const sent = access.request({
      ...{ method, target: one, body: Buffer.from(JSON.stringify(body)) },
      headers: { 'content-type': 'application/json' },
    })
    const { origin, path, headers } = sent
    const text = one === target ? String(sent.body ?? '') : '…'
    return { for: one, method, url: `${origin}${path}`, headers: headersOf(headers), body: text }
  })
}
