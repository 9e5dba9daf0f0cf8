/**
 * Pages for people who log an account in: HTML without a script, in the language of the browser, that nobody keeps.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Language, languageFor } from '../base/language.ts'
import { toBrokerError } from '../base/thrown.ts'

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
  storedSoon: {
    en: 'The login went well, and the account is connected once the database is back.',
    zh: '登录成功，数据库恢复后账号即会连接。',
  },
  waiting: { en: 'Waiting for the approval', zh: '等待授权' },
  looksAgain: { en: 'This page looks again by itself.', zh: '此页面会自动刷新。' },
  failed: { en: 'That did not work', zh: '登录未成功' },
} as const satisfies Record<string, Record<Language, string>>

/** Of the language that the caller's browser asks for. */
export function speakerOf({ raw }: FastifyRequest): (text: keyof typeof TEXTS) => string {
  const language = languageFor(raw)
  return (text) => TEXTS[text][language]
}

/** What passes by itself is looked at again by itself. */
export function errorPage(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = toBrokerError(thrown)
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', Math.ceil(error.retryAfterSeconds))
  if (error.status === 503 && error.code !== 'decryption_failed')
    reply.header('refresh', Math.ceil(error.retryAfterSeconds ?? 2))
  const text = error.in(languageFor(request.raw))
  return page(reply, error.status, speakerOf(request)('failed'), `<p>${escapeHtml(text)}</p>`)
}

export function page(reply: FastifyReply, status: number, title: string, body: string): FastifyReply {
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

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
