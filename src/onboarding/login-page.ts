/**
 * `/login/{link}`: the page behind the link of a `credential.reauth_required` event. No script, no admin token.
 *
 * Opening the link changes nothing (mail programs open links too); the button uses it up and starts the flow.
 */
import type { FastifyInstance, FastifyReply } from 'fastify'
import { BrokerError } from '../base/errors.ts'
import type { DeviceSessions } from './device-sessions.ts'

export interface LoginPageParts {
  readonly sessions: DeviceSessions
  /** The config of a link that is still good. */
  readonly peekLink: (link: string) => Promise<LoginTarget | undefined>
  /** The same, for exactly one caller. */
  readonly useLink: (link: string) => Promise<LoginTarget | undefined>
}

export interface LoginTarget {
  readonly configId: string
  readonly name: string
  readonly provider: string
}

type LinkRoute = { Params: { link: string } }
type SessionRoute = { Params: { provider: string; sessionId: string } }

export async function loginPages(
  app: FastifyInstance,
  { sessions, peekLink, useLink }: LoginPageParts,
): Promise<void> {
  // A form posts its content type even when it has nothing to say.
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    (_request, _body, done) => done(null, undefined),
  )

  app.get<LinkRoute>('/login/:link', async (request, reply) => {
    const target = await peekLink(request.params.link)
    if (!target) return page(reply, 404, 'Link no longer good', GONE)
    const form = `<p>Log in again for <b>${escapeHtml(target.name)}</b> (${escapeHtml(target.provider)}).</p>
      <form method="post"><button>Log in · 登录</button></form>`
    return page(reply, 200, 'Log in again · 重新登录', form)
  })

  app.post<LinkRoute>('/login/:link', async (request, reply) => {
    const target = await useLink(request.params.link)
    if (!target) return page(reply, 404, 'Link no longer good', GONE)
    const { session, authorization } = await sessions.start(target.provider, target.configId)
    const uri = escapeHtml(authorization.verificationUriComplete)
    const body = `<p>Your code is <strong>${escapeHtml(authorization.userCode)}</strong></p>
      <p><a href="${uri}" target="_blank" rel="noreferrer noopener">Open the provider's page · 打开授权页面</a></p>
      <p><a href="/login/session/${escapeHtml(target.provider)}/${session.id}">I have approved it · 我已授权</a></p>`
    return page(reply, 200, 'Approve the login · 授权登录', body)
  })

  app.get<SessionRoute>('/login/session/:provider/:sessionId', async (request, reply) => {
    try {
      const answer = await sessions.follow(request.params.provider, { id: request.params.sessionId })
      if (answer.status === 'success')
        return page(reply, 200, 'Connected · 已连接', '<p>You can close this page.</p>')
      const seconds = Math.ceil(answer.retryAfterMs / 1000)
      return page(
        reply.header('refresh', seconds),
        200,
        'Waiting · 等待授权',
        '<p>This page looks again by itself.</p>',
      )
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      return page(reply, error.status, error.chinese, `<p>${escapeHtml(error.english)}</p>`)
    }
  })
}

const GONE = '<p>It was used, or it is older than a week. Ask for a new login in the console.</p>'

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
    .send(`<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title>
<style>:root{color-scheme:light dark}body{font:1.1rem/1.6 system-ui;max-width:34rem;margin:4rem auto;padding:0 1rem}
strong{font-size:2rem;letter-spacing:.1em}button{font:inherit;padding:.5rem 1.5rem}</style>
<h1>${escapeHtml(title)}</h1>${body}</html>`)
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
