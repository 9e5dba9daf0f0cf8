/**
 * `/login/{link}`: the page behind the link of a `credential.reauth_required` event. No script, no admin token.
 *
 * Opening the link changes nothing (mail programs open links too); the button uses it up and starts the flow.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Clock, MINUTE, SECOND } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { type Language, languageFor } from '../base/language.ts'
import { networkOf } from '../base/network.ts'
import { RecentCounts } from '../base/recent-counts.ts'
import { toBrokerError } from '../base/thrown.ts'
import type { BySchema } from '../base/typed-routes.ts'
import type { LoginLinks } from '../event/login-links.ts'
import type { DeviceSessions } from './device-sessions.ts'
import { LOOK_AT_LINK, USE_LINK, WAIT_FOR_LOGIN } from './login-page-schemas.ts'

export interface LoginPageParts {
  readonly deviceSessions: DeviceSessions
  readonly links: LoginLinks
  readonly clock: Clock
  /** Below which people reach this broker, '' for none. */
  readonly basePath: string
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
    const { sessionId, authorization } = await deviceSessions
      .start(target.provider, target)
      .catch(async (error) => {
        await links.giveBack(link)
        throw error
      })
    const uri = escapeHtml(authorization.verificationUriComplete)
    const next = `${parts.basePath}/login/session/${target.provider}/${sessionId}`
    const body = `<p>${say('code')} <strong>${escapeHtml(authorization.userCode)}</strong></p>
      <p><a href="${uri}" target="_blank" rel="noreferrer noopener">${say('open')}</a></p>
      <p><a href="${escapeHtml(next)}">${say('approved')}</a></p>`
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
}

const TEXTS = {
  gone: { en: 'This link is no longer good', zh: '链接已失效' },
  goneWhy: {
    en: 'It was used, the account has been logged in meanwhile, or it is older than a week. If a login is still needed, ask for one in the console.',
    zh: '链接已使用、账号已重新登录，或链接已超过一周。如仍需登录，请在控制台中操作。',
  },
  again: { en: 'Log in again', zh: '重新登录' },
  login: { en: 'Log in', zh: '登录' },
  code: { en: 'Your code is', zh: '您的验证码：' },
  open: { en: "Open the provider's page", zh: '打开授权页面' },
  approved: { en: 'I have approved it', zh: '我已授权' },
  approve: { en: 'Approve the login', zh: '授权登录' },
  connected: { en: 'Connected', zh: '已连接' },
  close: { en: 'You can close this page.', zh: '可以关闭此页面。' },
  storing: { en: 'Approved, not stored yet', zh: '已授权，正在保存' },
  notYet: {
    en: 'The account is connected when this page says so. It looks again by itself.',
    zh: '保存完成后此页面会显示已连接，并会自动刷新。',
  },
  waiting: { en: 'Waiting for the approval', zh: '等待授权' },
  looksAgain: { en: 'This page looks again by itself.', zh: '此页面会自动刷新。' },
  failed: { en: 'That did not work', zh: '登录未成功' },
} as const satisfies Record<string, Record<Language, string>>

/** Of the language that the caller's browser asks for. */
function speakerOf({ raw }: FastifyRequest): (text: keyof typeof TEXTS) => string {
  const language = languageFor(raw)
  return (text) => TEXTS[text][language]
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

/** What passes by itself is looked at again by itself. */
function errorPage(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = toBrokerError(thrown)
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', Math.ceil(error.retryAfterSeconds))
  if (error.status === 503 && error.code !== 'decryption_failed')
    reply.header('refresh', Math.ceil(error.retryAfterSeconds ?? 2))
  const text = error.in(languageFor(request.raw))
  return page(reply, error.status, speakerOf(request)('failed'), `<p>${escapeHtml(text)}</p>`)
}

function page(reply: FastifyReply, status: number, title: string, body: string): FastifyReply {
  return reply
    .code(status)
    .header(
      'content-security-policy',
      "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    )
    .header('cache-control', 'no-store')
    .header('referrer-policy', 'no-referrer')
    .type('text/html; charset=utf-8')
    .send(`<!doctype html><html lang="${languageFor(reply.request.raw)}"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title>
<style>:root{color-scheme:light dark}body{font:1.1rem/1.6 system-ui;max-width:34rem;margin:4rem auto;padding:0 1rem}
strong{font-size:2rem;letter-spacing:.1em}button{font:inherit;padding:.5rem 1.5rem}</style>
<h1>${escapeHtml(title)}</h1>${body}</html>`)
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
