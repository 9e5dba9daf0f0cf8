/**
 * The page on which a person approves or denies a device (RFC 8628 §3.3).
 *
 * Plain HTML without script. A post must carry a value only our own page for that user code has,
 * and must not come from another site (RFC 8628 §5.4, remote phishing, is why the code is shown again).
 */
import { createHmac, randomBytes } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Language, languageFor, type Said } from '../base/language.ts'
import type { DeviceCode, DeviceCodes } from './device-codes.ts'
import { isSame } from './digest.ts'
import { acceptForms, type Form, OAuthError, readForm } from './oauth-form.ts'
import { CONTENT_SECURITY_POLICY, codeForm, decisionForm, notice, page } from './page.ts'
import type { StateFile } from './state-file.ts'

export interface ApprovalPageParts {
  readonly deviceCodes: DeviceCodes
  readonly stateFile: StateFile
}

export function addApprovalPage(scope: FastifyInstance, parts: ApprovalPageParts): void {
  const key = randomBytes(32)
  const formProof = (userCode: string) => createHmac('sha256', key).update(userCode).digest('base64url')
  acceptForms(scope)
  scope.addHook('onRequest', async (_request, reply) => {
    reply.headers({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': CONTENT_SECURITY_POLICY,
      'cache-control': 'no-store',
      // Not no-referrer: under that a browser posts our own form with "Origin: null".
      'referrer-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
    })
  })
  scope.setErrorHandler((_error, request, reply) => {
    reply.code(400).send(refusal(languageFor(request.raw), UNREADABLE))
  })

  scope.get('/device', async (request, reply) => {
    const language = languageFor(request.raw)
    const userCode = (request.query as Record<string, unknown>)['user_code']
    if (typeof userCode !== 'string' || userCode === '') return page(language, codeForm(language))
    const entry = openCode(parts.deviceCodes, userCode, reply)
    return 'userCode' in entry
      ? page(language, decisionForm(language, entry, formProof(entry.userCode)))
      : refusal(language, entry, userCode)
  })

  scope.post('/device', async (request, reply) => {
    const language = languageFor(request.raw)
    const form = readForm(request.body)
    const userCode = form.get('user_code') ?? ''
    const entry = openCode(parts.deviceCodes, userCode, reply)
    if (!('userCode' in entry)) return refusal(language, entry, userCode)
    if (isCrossSite(request) || !isSame(form.get('form_proof') ?? '', formProof(entry.userCode))) {
      reply.code(403)
      return refusal(language, NOT_OURS)
    }
    const decision = decisionOf(form)
    parts.deviceCodes.decide(entry.userCode, decision)
    await parts.stateFile.save()
    return page(language, notice(language, DECIDED[decision]))
  })
}

const UNREADABLE = { english: 'This request could not be read.', chinese: '无法识别该请求。' }
const NOT_OURS = { english: 'This form is stale or not ours.', chinese: '表单已失效或来源不明。' }
const UNKNOWN = { english: 'This code is unknown.', chinese: '该代码不存在。' }
const EXPIRED = { english: 'This code has expired.', chinese: '该代码已过期。' }
const USED = { english: 'This code has already been used.', chinese: '该代码已被使用。' }
const DECIDED = {
  approved: { english: 'Approved. You can close this page.', chinese: '已授权，可以关闭此页面。' },
  denied: { english: 'Denied. The device gets no access.', chinese: '已拒绝，设备不会获得访问权限。' },
}

/** The code, or why it cannot be decided. */
function openCode(deviceCodes: DeviceCodes, typed: string, reply: FastifyReply): DeviceCode | Said {
  const entry = deviceCodes.find(typed)
  if (!entry) {
    reply.code(404)
    return UNKNOWN
  }
  if (deviceCodes.isExpired(entry)) {
    reply.code(410)
    return EXPIRED
  }
  if (entry.decision !== 'pending') {
    reply.code(409)
    return USED
  }
  return entry
}

/** Why, and the form for another code. */
function refusal(language: Language, why: Said, typed = ''): string {
  return page(language, notice(language, why, typed) + codeForm(language))
}

function decisionOf(form: Form): 'approved' | 'denied' {
  const action = form.get('action')
  if (action === 'approve') return 'approved'
  if (action === 'deny') return 'denied'
  throw new OAuthError('invalid_request', 'action must be approve or deny')
}

/** Browsers send these two headers and pages cannot forge them; a client that sends neither is no browser. */
function isCrossSite(request: FastifyRequest): boolean {
  const site = request.headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin') return true
  const { origin, host } = request.headers
  return origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`
}
