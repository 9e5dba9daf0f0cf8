/**
 * `/api/session`: the console signs in with the admin token and gets a cookie for it.
 */
import rateLimit, { type FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { MINUTE } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { type ConsoleSession, endCookie } from './console-session.ts'
import type { Guard } from './guard.ts'

export interface SessionParts {
  readonly guard: Guard
  /** Counts tries for all replicas together. */
  readonly rateLimitStore: FastifyRateLimitStoreCtor
}

const TRIES_PER_MINUTE = 10
const SIGN_IN = Type.Object(
  { token: Type.String({ minLength: 1, maxLength: 8192 }) },
  { additionalProperties: false },
)

export async function sessionRoutes(app: FastifyInstance, parts: SessionParts): Promise<void> {
  const { guard } = parts
  await app.register(rateLimit, {
    global: false,
    store: parts.rateLimitStore,
    keyGenerator: (request) => `sign-in:${request.ip}`,
    errorResponseBuilder: (_, { ttl }) =>
      new BrokerError('rate_limit_exceeded', { retryAfterSeconds: ttl / 1000 }),
  })
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })

  app.post<{ Body: { token: string } }>(
    '/api/session',
    {
      schema: { body: SIGN_IN },
      config: { rateLimit: { max: TRIES_PER_MINUTE, timeWindow: MINUTE } },
    },
    async (request, reply) => {
      if (!guard.isAdminToken(request.body.token)) throw new BrokerError('admin_token_required')
      const { session, cookie } = guard.sessions.open(isSecure(request))
      return reply.header('set-cookie', cookie).send(sessionItem(session))
    },
  )
  app.get('/api/session', async (request) => sessionItem(guard.checkSession(request)))
  app.delete('/api/session', async (request, reply) => {
    guard.checkSession(request)
    return reply
      .header('set-cookie', endCookie(isSecure(request)))
      .code(204)
      .send()
  })
}

/** A browser behind a proxy that ends TLS still says where its page came from. */
function isSecure({ protocol, headers }: FastifyRequest): boolean {
  return protocol === 'https' || headers.origin?.startsWith('https:') === true
}

function sessionItem({ expiresAt, csrfToken }: ConsoleSession): object {
  return { expires_at: expiresAt, csrf_token: csrfToken }
}
