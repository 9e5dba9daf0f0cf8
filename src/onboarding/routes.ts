/**
 * `/api/{provider}/oauth/*`: device flow for front ends, without the admin token (interface.md §4).
 */
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { BrokerError } from '../base/errors.ts'
import type { Provider } from '../base/provider.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import type { Database } from '../storage/database.ts'
import type { SessionKey } from './device-session-store.ts'
import type { DeviceSessions } from './device-sessions.ts'
import { createRateLimitStore } from './rate-limit-store.ts'
import { addStatusEvents, type Status, type StatusRoute } from './status-events.ts'

export interface OnboardingParts {
  readonly sessions: DeviceSessions
  readonly database: Database
  readonly clock: () => number
  readonly providers: ReadonlyMap<string, Provider>
}

const DEVICE_CODES_PER_MINUTE = 10

type ProviderRoute = { Params: { provider: string } }

export async function onboardingRoutes(app: FastifyInstance, parts: OnboardingParts): Promise<void> {
  const { sessions, providers } = parts

  await app.register(rateLimit, {
    global: false,
    store: createRateLimitStore(parts.database, parts.clock),
    keyGenerator: (request) => `device-code:${request.ip}`,
    errorResponseBuilder: (_, { ttl }) =>
      new BrokerError('rate_limit_exceeded', { retryAfterSeconds: ttl / 1000 }),
  })

  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    const provider = providers.get((request.params as { provider: string }).provider)
    if (!provider) throw new BrokerError('provider_not_found')
    if (provider.kind !== 'device_code') throw new BrokerError('device_flow_unsupported')
  })

  app.post<ProviderRoute>(
    '/api/:provider/oauth/device-code',
    { config: { rateLimit: { max: DEVICE_CODES_PER_MINUTE, timeWindow: 60_000 } } },
    async (request) => {
      const { session, authorization } = await sessions.start(request.params.provider)
      return {
        session_id: session.id,
        device_code: authorization.deviceCode,
        user_code: authorization.userCode,
        verification_uri: authorization.verificationUri,
        verification_uri_complete: authorization.verificationUriComplete,
        expires_in: Math.floor((session.expiresAt - session.createdAt) / 1000),
        interval: authorization.intervalSeconds,
      }
    },
  )

  const look = async (request: FastifyRequest<StatusRoute>): Promise<Status> => {
    const answer = await sessions.follow(request.params.provider, sessionKey(request.query))
    return answer.status === 'pending'
      ? { status: 'pending', retry_after: answer.retryAfterMs }
      : { status: 'success', token: tokenObject(answer.tokens) }
  }
  app.get<StatusRoute>('/api/:provider/oauth/status', look)
  addStatusEvents(app, '/api/:provider/oauth/events', look)
}

/** @throws BrokerError invalid_device_code if neither parameter is there, or one is there twice */
function sessionKey(query: Record<string, unknown>): SessionKey {
  const { session_id: id, device_code: deviceCode } = query
  if (typeof id === 'string' && id !== '') return { id }
  if (typeof deviceCode === 'string' && deviceCode !== '') return { deviceCode }
  throw new BrokerError('invalid_device_code')
}

/** `expires_at` in ms; a server that names no lifetime gives none. */
function tokenObject(tokens: TokenSet): Record<string, unknown> {
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
