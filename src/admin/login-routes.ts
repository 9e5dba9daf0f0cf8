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
import type { Actor } from '../storage/audit-log.ts'
import { LOGIN_BEGUN, LOGIN_STANDING } from './config-answers.ts'
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
}

const BY_SESSION = Type.Object({
  ...BY_ID.properties,
  session_id: Type.String({ minLength: 1, maxLength: 64 }),
})

const UNKNOWN = ['config_not_found', 'device_flow_unsupported', 'decryption_failed'] as const

/** In the scope of the guard. */
export function loginRoutes(fastify: FastifyInstance, parts: AccountLoginParts): void {
  const app = fastify.withTypeProvider<BySchema>()
  const { credentialStore, configStore, deviceSessions } = parts
  app.post(
    '/api/models/configs/:id/login',
    {
      schema: {
        ...guarded('logIn', 'accounts', 'Begins a login of an account, with its own inputs'),
        params: BY_ID,
        response: {
          200: LOGIN_BEGUN,
          ...errorAnswers(...UNKNOWN, 'inputs_required', 'login_superseded', 'device_authorization_failed'),
        },
      },
    },
    async (request) => {
      const { id } = request.params
      const { provider, version } = await accountOf(id, credentialStore)
      const target = { configId: id, configVersion: version }
      const { sessionId, session, authorization } = await deviceSessions.start(provider.name, target)
      await configStore.record('config.login_asked', id, actorOf(request))
      return {
        session_id: sessionId,
        user_code: authorization.userCode,
        verification_uri: authorization.verificationUri,
        verification_uri_complete: authorization.verificationUriComplete,
        expires_in: Math.floor((session.expiresAt - session.createdAt) / 1000),
        interval: authorization.intervalSeconds,
      }
    },
  )
  app.get(
    '/api/models/configs/:id/login/:session_id',
    {
      schema: {
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
          ),
        },
      },
    },
    async (request) => {
      const { id, session_id: sessionId } = request.params
      const { provider } = await accountOf(id, credentialStore)
      const by = actorOf(request)
      const answer = await deviceSessions.followLogin(provider.name, sessionId, request.ip, by)
      return answer.status === 'bound'
        ? { status: 'success' as const }
        : { status: 'pending' as const, retry_after: answer.retryAfterMs }
    },
  )
}

/** @throws BrokerError config_not_found | device_flow_unsupported */
async function accountOf(
  id: string,
  store: AccountLoginParts['credentialStore'],
): Promise<{ provider: Provider; version: number }> {
  const account = await store.providerOf(id)
  if (!account) throw new BrokerError('config_not_found')
  if (account.provider.kind !== 'device_code') throw new BrokerError('device_flow_unsupported')
  return account
}
