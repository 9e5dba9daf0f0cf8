/**
 * `/api/session`: the console signs in with the admin token and gets a cookie for it.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { errorAnswers, NOTHING } from '../base/answers.ts'
import type { BySchema } from '../base/typed-routes.ts'
import { CONSOLE_SESSION, type ConsoleSessionItem } from './answers.ts'
import type { ConsoleSession } from './console-session.ts'
import type { Guard } from './guard.ts'

const SIGN_IN = Type.Object(
  { token: Type.String({ minLength: 1, maxLength: 8192 }) },
  { additionalProperties: false },
)

export async function sessionRoutes(fastify: FastifyInstance, { guard }: { guard: Guard }): Promise<void> {
  const app = fastify.withTypeProvider<BySchema>()
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })

  app.post(
    '/api/session',
    {
      schema: {
        operationId: 'signIn',
        tags: ['console'],
        summary: 'Signs the console in, with the admin token',
        description: 'The answer sets a cookie.',
        body: SIGN_IN,
        response: {
          200: CONSOLE_SESSION,
          ...errorAnswers('admin_token_required', 'rate_limit_exceeded'),
        },
      },
    },
    async (request, reply) => {
      const { consoleSession, cookie } = await guard.signIn(request, request.body.token, isSecure(request))
      return reply.header('set-cookie', cookie).send(sessionItem(consoleSession))
    },
  )
  app.get(
    '/api/session',
    { schema: { ...bySession('getSession', 'The session of a cookie'), response: { 200: CONSOLE_SESSION } } },
    async (request) => sessionItem(await guard.checkSession(request)),
  )
  app.delete(
    '/api/session',
    { schema: { ...bySession('signOut', 'Signs out, everywhere'), response: { 204: NOTHING } } },
    async (request, reply) => {
      const cookie = await guard.signOut(request, isSecure(request))
      return reply.header('set-cookie', cookie).code(204).send(undefined)
    },
  )
}

/** With the cookie alone. */
function bySession(operationId: string, summary: string) {
  return { operationId, tags: ['console'], summary, security: [{ consoleSession: [] }] }
}

/** A browser behind a proxy that ends TLS still says where its page came from. */
function isSecure({ protocol, headers }: FastifyRequest): boolean {
  return protocol === 'https' || headers.origin?.startsWith('https:') === true
}

function sessionItem({ expiresAt, csrfToken }: ConsoleSession): ConsoleSessionItem {
  return { expires_at: expiresAt, csrf_token: csrfToken }
}
