/**
 * `/oauth/callback/{provider}`: where the browser of a login by authorization code comes back to (RFC 6749 §4.1.2).
 */
import type { FastifyInstance } from 'fastify'
import type { BySchema } from '../base/typed-routes.ts'
import type { CodeLogins } from './code-logins.ts'
import { endedLoginCookie } from './login-cookie.ts'
import { COME_BACK } from './login-page-schemas.ts'
import { page, speakerOf } from './page.ts'

/** Among the login pages, whose limits and whose page for errors it shares. */
export function callbackPage(fastify: FastifyInstance, codeLogins: CodeLogins): void {
  const app = fastify.withTypeProvider<BySchema>()
  app.get(
    '/oauth/callback/:provider',
    { schema: COME_BACK, exposeHeadRoute: false },
    async (request, reply) => {
      const { params, headers, ip, originalUrl } = request
      const answer = new URL(originalUrl, 'http://broker').searchParams
      const session = await codeLogins.cameBack(params.provider, answer, headers.cookie)
      reply.header('set-cookie', endedLoginCookie(session))
      const end = await codeLogins.finish(session, answer, { kind: 'onboarding', address: ip })
      const say = speakerOf(request)
      if (end === 'bound') return page(reply, 200, say('connected'), `<p>${say('close')}</p>`)
      return page(reply, 200, say('storing'), `<p>${say('storedSoon')}</p>`)
    },
  )
}
