/**
 * `/login/{link}`: the page behind the link of a `credential.reauth_required` event. No script, no admin token.
 *
 * Opening the link changes nothing (mail programs open links too); the button uses it up and starts the flow.
 */
import type { FastifyInstance, FastifyReply } from 'fastify'
import { type Clock, MINUTE, SECOND } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { networkOf } from '../base/network.ts'
import { RecentCounts } from '../base/recent-counts.ts'
import type { BySchema } from '../base/typed-routes.ts'
import type { LoginLinks, LoginTarget } from '../event/login-links.ts'
import type { Provider } from '../provider/provider.ts'
import { callbackPage } from './callback-page.ts'
import type { CodeLogins } from './code-logins.ts'
import type { DeviceSessions } from './device-sessions.ts'
import { LOOK_AT_LINK, USE_LINK, WAIT_FOR_LOGIN } from './login-page-schemas.ts'
import { errorPage, escapeHtml, page, speakerOf } from './page.ts'

export interface LoginPageParts {
  readonly deviceSessions: DeviceSessions
  readonly codeLogins: CodeLogins
  readonly providers: ReadonlyMap<string, Provider>
  readonly links: LoginLinks
  readonly clock: Clock
  /** Below which people reach this broker, '' for none. */
  readonly basePath: string
  /** How people reach it, perhaps with a path. */
  readonly reachedAt: () => string
}

/** Pages a caller may open a minute: one that waits opens itself every few seconds. */
const PAGES_PER_MINUTE = 120
/** Links and sessions that are not there. */
const GUESSES_PER_MINUTE = 10

export async function loginPages(fastify: FastifyInstance, parts: LoginPageParts): Promise<void> {
  const app = fastify.withTypeProvider<BySchema>()
  const { deviceSessions, links } = parts
  limitPages(fastify, parts.clock)
  app.setErrorHandler(errorPage)
  // A form posts its content type even when it has nothing to say.
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    (_request, _body, done) => done(null, undefined),
  )

  app.get('/login/:link', { schema: LOOK_AT_LINK }, async (request, reply) => {
    const target = await links.peek(request.params.link)
    const say = speakerOf(request)
    if (!target) return page(reply, 404, say('gone'), `<p>${say('goneWhy')}</p>`)
    const form = `<p>${say('again')}: <b>${escapeHtml(target.name)}</b> (${escapeHtml(target.provider)})</p>
      <form method="post"><button>${say('login')}</button></form>`
    return page(reply, 200, say('again'), form)
  })

  app.post('/login/:link', { schema: USE_LINK }, async (request, reply) => {
    const { link } = request.params
    const target = await links.use(link)
    const say = speakerOf(request)
    if (!target) return page(reply, 404, say('gone'), `<p>${say('goneWhy')}</p>`)
    const body = await begun(parts, target, reply, say).catch(async (error) => {
      await links.giveBack(link)
      throw error
    })
    return page(reply, 200, say('approve'), body)
  })

  app.get('/login/session/:provider/:sessionId', { schema: WAIT_FOR_LOGIN }, async (request, reply) => {
    const answer = await deviceSessions.followLogin(
      request.params.provider,
      request.params.sessionId,
      request.ip,
    )
    const say = speakerOf(request)
    if (answer.status === 'bound') return page(reply, 200, say('connected'), `<p>${say('close')}</p>`)
    reply.header('refresh', Math.ceil(answer.retryAfterMs / SECOND))
    if (answer.status === 'approved') return page(reply, 200, say('storing'), `<p>${say('notYet')}</p>`)
    return page(reply, 200, say('waiting'), `<p>${say('looksAgain')}</p>`)
  })
  callbackPage(fastify, parts.codeLogins)
}

/** Begins the login. @returns what its page says */
async function begun(
  { deviceSessions, codeLogins, providers, reachedAt, basePath }: LoginPageParts,
  target: LoginTarget,
  reply: FastifyReply,
  say: ReturnType<typeof speakerOf>,
): Promise<string> {
  if (providers.get(target.provider)?.kind === 'authorization_code') {
    const { authorizationUrl, cookie } = await codeLogins.start(target.provider, target, reachedAt())
    reply.header('set-cookie', cookie)
    return `<p><a href="${escapeHtml(authorizationUrl)}" rel="noreferrer">${say('open')}</a></p>`
  }
  const { sessionId, authorization } = await deviceSessions.start(target.provider, target)
  const uri = escapeHtml(authorization.verificationUriComplete)
  const next = `${basePath}/login/session/${target.provider}/${sessionId}`
  return `<p>${say('code')} <strong>${escapeHtml(authorization.userCode)}</strong></p>
    <p><a href="${uri}" target="_blank" rel="noreferrer noopener">${say('open')}</a></p>
    <p><a href="${escapeHtml(next)}">${say('approved')}</a></p>`
}

/** In memory: neither a page that is opened nor a guess writes anything. */
function limitPages(app: FastifyInstance, clock: Clock): void {
  const pages = new RecentCounts(PAGES_PER_MINUTE, MINUTE, clock)
  const guesses = new RecentCounts(GUESSES_PER_MINUTE, MINUTE, clock)
  app.addHook('onRequest', async (request) => {
    const caller = networkOf(request.ip)
    const waitMs = guesses.waitMs(caller) ?? pages.waitMs(caller)
    if (waitMs !== undefined)
      throw new BrokerError('rate_limit_exceeded', { retryAfterSeconds: waitMs / SECOND })
    pages.add(caller)
  })
  app.addHook('onSend', async (request, reply) => {
    if (reply.statusCode === 404) guesses.add(networkOf(request.ip))
  })
}
