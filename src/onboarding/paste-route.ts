/**
 * `POST /api/oauth/callback`: the answer of a login by authorization code, brought by a person instead of a browser. The
 * session's id is the secret, as for every login.
 */
import type { FastifyInstance } from 'fastify'
import type { BySchema } from '../base/typed-routes.ts'
import type { CodeLogins } from './code-logins.ts'
import { BRING_ANSWER } from './schemas.ts'

export async function pasteRoute(fastify: FastifyInstance, codeLogins: CodeLogins): Promise<void> {
  const app = fastify.withTypeProvider<BySchema>()
  app.post('/api/oauth/callback', { schema: BRING_ANSWER }, async (request, reply) => {
    reply.header('cache-control', 'no-store')
    const { session_id: sessionId, url } = request.body
    const end = await codeLogins.paste(sessionId, url, { kind: 'onboarding', address: request.ip })
    return { status: end === 'bound' ? ('success' as const) : end }
  })
}
