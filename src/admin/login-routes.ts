/**
 * Logs an account in that there is already: with its own inputs, which only this API sets.
 */
import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import { errorAnswers } from '../base/answers.ts'
import { BrokerError } from '../base/errors.ts'
import type { BySchema } from '../base/typed-routes.ts'
import type { CredentialReader } from '../credential/credential-reader.ts'
import type { ModelConfigStore } from '../model-config/model-config-store.ts'
import type { DeviceAuthorization } from '../oauth/device-authorization.ts'
import type { Provider } from '../provider/provider.ts'
import { isLogin } from '../provider/renewal-class.ts'
import type { Actor } from '../storage/audit-log.ts'
import { LOGIN_BEGUN, LOGIN_STANDING, type LoginBegun } from './config-answers.ts'
import { actorOf, guarded } from './guard.ts'
import { BY_ID } from './schemas.ts'

export interface AccountLoginParts {
  readonly credentialStore: Pick<CredentialReader, 'providerOf'>
  readonly configStore: Pick<ModelConfigStore, 'record'>
  readonly deviceSessions: {
    start(
      provider: string,
      target: { readonly configId: string; readonly configVersion: number },
    ): Promise<{
      sessionId: string
      session: { readonly createdAt: number; readonly expiresAt: number }
      authorization: DeviceAuthorization
    }>
    followLogin(
      provider: string,
      sessionId: string,
      address: string,
      by: Actor,
    ): Promise<{ status: 'pending' | 'approved'; retryAfterMs: number } | { status: 'bound' }>
  }
  readonly codeLogins: {
    start(
      provider: string,
      target: { readonly configId: string; readonly configVersion: number },
      base: string,
    ): Promise<{
      sessionId: string
      session: {
        readonly createdAt: number
        readonly expiresAt: number
        readonly redirectUri: string | undefined
      }
      authorizationUrl: string
      provider: Provider
      cookie: string
    }>
  }
  /** How people reach this broker, perhaps with a path. */
  readonly reachedAt: () => string
}

const BY_SESSION = Type.Object({
  ...BY_ID.properties,
  session_id: Type.String({ minLength: 1, maxLength: 64 }),
})

/** At how it stands. */
const LOOK_EVERY_SECONDS = 2

const UNKNOWN = ['config_not_found', 'device_flow_unsupported', 'decryption_failed'] as const

const BEGIN = {
  ...guarded('logIn', 'accounts', 'Begins a login of an account, with its own inputs'),
  params: BY_ID,
  response: {
    200: LOGIN_BEGUN,
    ...errorAnswers(
      ...UNKNOWN,
      'inputs_required',
      'login_superseded',
      'device_authorization_failed',
      'authorization_server_unreachable',
    ),
  },
}

const FOLLOW = {
  ...guarded('followAccountLogin', 'accounts', 'How a login of an account stands'),
  description: 'Once it is a `success`, the account has its tokens.',
  params: BY_SESSION,
  response: {
    200: LOGIN_STANDING,
    ...errorAnswers(
      ...UNKNOWN,
      'inputs_required',
      'login_superseded',
      'session_not_found',
      'authorization_timeout',
      'access_denied',
      'invalid_device_code',
      'authorization_server_refused',
      'issuer_mismatch',
      'authorization_unclear',
    ),
  },
}

/** In the scope of the guard. */
export function loginRoutes(fastify: FastifyInstance, parts: AccountLoginParts): void {
  const app = fastify.withTypeProvider<BySchema>()
  const { credentialStore, configStore, deviceSessions } = parts
  app.post('/api/models/configs/:id/login', { schema: BEGIN }, async (request, reply) => {
    const { id } = request.params
    const { provider, version } = await accountOf(id, credentialStore)
    const begin = provider.kind === 'authorization_code' ? beginByCode : beginByDevice
    const { cookie, answer } = await begin(provider.name, { configId: id, configVersion: version }, parts)
    await configStore.record('config.login_asked', id, actorOf(request))
    if (cookie !== undefined) reply.header('set-cookie', cookie)
    return answer
  })
  app.get('/api/models/configs/:id/login/:session_id', { schema: FOLLOW }, async (request) => {
    const { id, session_id: sessionId } = request.params
    const { provider } = await accountOf(id, credentialStore)
    const by = actorOf(request)
    const answer = await deviceSessions.followLogin(provider.name, sessionId, request.ip, by)
    return answer.status === 'bound'
      ? { status: 'success' as const }
      : { status: 'pending' as const, retry_after: answer.retryAfterMs }
  })
}

type Target = Parameters<AccountLoginParts['deviceSessions']['start']>[1]
/** @property cookie `Set-Cookie` */
type Begun = { answer: LoginBegun; cookie?: string }

async function beginByDevice(
  name: string,
  target: Target,
  { deviceSessions }: AccountLoginParts,
): Promise<Begun> {
  const { sessionId, session, authorization } = await deviceSessions.start(name, target)
  const answer = {
    session_id: sessionId,
    user_code: authorization.userCode,
    verification_uri: authorization.verificationUri,
    verification_uri_complete: authorization.verificationUriComplete,
    expires_in: lifetimeOf(session),
    interval: authorization.intervalSeconds,
  }
  return { answer }
}

async function beginByCode(
  name: string,
  target: Target,
  { codeLogins, reachedAt }: AccountLoginParts,
): Promise<Begun> {
  const { sessionId, session, authorizationUrl, provider, cookie } = await codeLogins.start(
    name,
    target,
    reachedAt(),
  )
  const redirect = provider.authorizationServer?.redirect
  const answer = {
    session_id: sessionId,
    authorization_url: authorizationUrl,
    redirect_uri: session.redirectUri ?? '',
    callback: redirect?.hasCallback ?? true,
    paste: redirect?.canPaste ?? true,
    expires_in: lifetimeOf(session),
    interval: LOOK_EVERY_SECONDS,
  }
  return { answer, cookie }
}

function lifetimeOf({ createdAt, expiresAt }: { createdAt: number; expiresAt: number }): number {
  return Math.floor((expiresAt - createdAt) / 1000)
}

/** @throws BrokerError config_not_found | device_flow_unsupported */
async function accountOf(
  id: string,
  store: AccountLoginParts['credentialStore'],
): Promise<{ provider: Provider; version: number }> {
  const account = await store.providerOf(id)
  if (!account) throw new BrokerError('config_not_found')
  if (!isLogin(account.provider.kind)) throw new BrokerError('device_flow_unsupported')
  return account
}
