/**
 * `/api/{provider}/oauth/*`: device flow for front ends, without the admin token (docs/api.md, Onboarding).
 */
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../base/errors.ts'
import { networkOf } from '../base/network.ts'
import type { BySchema } from '../base/typed-routes.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import type { Provider } from '../provider/provider.ts'
import type { RateCounters } from '../storage/rate-counters.ts'
import type { LoginTokens } from './answers.ts'
import type { SessionKey } from './device-session.ts'
import type { DeviceSessions } from './device-sessions.ts'
import { createRateLimitStore } from './rate-limit-store.ts'
import { BEGIN_LOGIN, FOLLOW_LOGIN } from './schemas.ts'
import { addStatusEvents, type Seen, type StatusRequest } from './status-events.ts'

export interface OnboardingParts {
  readonly deviceSessions: DeviceSessions
  readonly counters: RateCounters
  readonly providers: ReadonlyMap<string, Provider>
}

const DEVICE_CODES_PER_MINUTE = 10

export async function onboardingRoutes(fastify: FastifyInstance, parts: OnboardingParts): Promise<void> {
  const app = fastify.withTypeProvider<BySchema>()
  const { deviceSessions, providers } = parts

  await app.register(rateLimit, {
    global: false,
    store: createRateLimitStore(parts.counters),
    keyGenerator: (request) => `device-code:${networkOf(request.ip)}`,
    errorResponseBuilder: (_, { ttl }) =>
      new BrokerError('rate_limit_exceeded', { retryAfterSeconds: ttl / 1000 }),
  })

  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    const provider = providers.get((request.params as { provider: string }).provider)
    if (!provider) throw new BrokerError('provider_not_found')
    if (provider.kind !== 'device_code') throw new BrokerError('device_flow_unsupported')
  })

  app.post(
    '/api/:provider/oauth/device-code',
    {
      config: { rateLimit: { max: DEVICE_CODES_PER_MINUTE, timeWindow: 60_000 } },
      schema: BEGIN_LOGIN,
    },
    async (request) => {
      const { sessionId, session, authorization } = await deviceSessions.start(request.params.provider)
      return {
        session_id: sessionId,
        device_code: authorization.deviceCode,
        user_code: authorization.userCode,
        verification_uri: authorization.verificationUri,
        verification_uri_complete: authorization.verificationUriComplete,
        expires_in: Math.floor((session.expiresAt - session.createdAt) / 1000),
        interval: authorization.intervalSeconds,
      }
    },
  )

  const look = async (request: StatusRequest): Promise<Seen> => {
    const answer = await deviceSessions.follow(request.params.provider, sessionKey(request.query), request.ip)
    const { rowId } = answer
    return answer.status === 'pending'
      ? { rowId, status: { status: 'pending', retry_after: answer.retryAfterMs } }
      : { rowId, status: { status: 'success', token: tokenObject(answer.tokens) } }
  }
  app.get(
    '/api/:provider/oauth/status',
    { attachValidation: true, schema: FOLLOW_LOGIN },
    async (request) => (await look(request)).status,
  )
  addStatusEvents(app, look)
}

/** @throws BrokerError invalid_device_code if neither parameter is there, or one is there twice */
function sessionKey(query: Readonly<Record<string, unknown>>): SessionKey {
  const { session_id: sessionId, device_code: deviceCode } = query
  if (typeof sessionId === 'string' && sessionId !== '') return { sessionId }
  if (typeof deviceCode === 'string' && deviceCode !== '') return { deviceCode }
  throw new BrokerError('invalid_device_code')
}

/** `expires_at` in ms; a server that names no lifetime gives none. */
function tokenObject(tokens: TokenSet): LoginTokens {
  return {
    access_token: tokens.accessToken,
    refresh_token: tokens.refreshToken ?? null,
    expires_at: tokens.expiresAt ?? null,
    token_type: tokens.tokenType,
    ...(tokens.scope !== undefined && { scope: tokens.scope }),
    ...(typeof tokens.metadata['resource_url'] === 'string' && {
      resource_url: tokens.metadata['resource_url'],
    }),
  }
}
