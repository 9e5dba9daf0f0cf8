import t from 'tap'
import { apiErrorBody, BrokerError, ERRORS, type ErrorCode } from '../../src/base/errors.ts'
import { toBrokerError } from '../../src/base/thrown.ts'
import { errorHeaders, openAiError } from '../../src/gateway/openai-error.ts'

const CODES = Object.keys(ERRORS) as ErrorCode[]

/** docs/api.md, word for word. */
const PROMISED: [code: ErrorCode, status: number, chinese?: string][] = [
  ['invalid_api_key', 401],
  ['credential_reauth_required', 401, '认证失败，请重新登录'],
  ['model_not_found', 404],
  ['request_too_large', 413],
  ['rate_limit_exceeded', 429],
  ['upstream_unreachable', 502],
  ['upstream_timeout', 504],
  ['refresh_unavailable', 503],
  ['storage_unavailable', 503],
  ['invalid_device_code', 400, '设备码无效'],
  ['session_not_found', 404, '会话不存在'],
  ['authorization_timeout', 408, '认证超时'],
  ['access_denied', 403, '用户拒绝授权'],
  ['device_authorization_failed', 500],
  ['admin_token_required', 401],
  ['config_not_found', 404],
  ['key_not_found', 404],
  ['name_taken', 409],
  ['stale_update', 409],
  ['invalid_request', 422],
]

t.test('each code has a sane status and both languages', async (t) => {
  for (const code of CODES) {
    const { status, english, chinese } = ERRORS[code]
    t.ok(Number.isInteger(status) && status >= 400 && status <= 504, `${code} ${status}`)
    t.match(english, /^[A-Z][\x20-\x7e…]+[^.\s]$/, english)
    t.match(chinese, /\p{Script=Han}/u, chinese)
  }
})

t.test('what the interface promises is in the table', async (t) => {
  for (const [code, status, chinese] of PROMISED) {
    t.equal(ERRORS[code].status, status, code)
    if (chinese) t.equal(ERRORS[code].chinese, chinese)
  }
})

t.test('only the two failures that the interface calls 500 are 500', async (t) => {
  t.same(
    CODES.filter((code) => ERRORS[code].status === 500),
    ['device_authorization_failed', 'internal_error'],
  )
})

t.test('both renderers show code and reason, and never the detail', async (t) => {
  for (const code of CODES) {
    const error = new BrokerError(code, { detail: 'private-detail', reason: 'field x is odd' })
    const api = apiErrorBody(error, 'en')
    t.same(Object.keys(api), ['detail', 'code', 'message'])
    t.equal(api.code, code)
    t.match(api.detail, /\p{Script=Han}.*：field x is odd$/u)
    t.match(api.message, /: field x is odd$/)
    const { error: openai } = openAiError(error)
    t.same(Object.keys(openai), ['message', 'type', 'param', 'code'])
    t.match(openai, { code, param: null, type: /^[a-z_]+_error$/, message: /field x is odd/ })
    t.notMatch(JSON.stringify([api, openai]), 'private-detail')
  }
})

t.test('OpenAI SDKs find the type and the headers they act on', async (t) => {
  const typeOf = (code: ErrorCode) => openAiError(new BrokerError(code)).error.type
  t.equal(typeOf('invalid_api_key'), 'authentication_error')
  t.equal(typeOf('rate_limit_exceeded'), 'rate_limit_error')
  t.equal(typeOf('model_not_found'), 'invalid_request_error')
  t.equal(typeOf('upstream_timeout'), 'server_error')
  t.same(errorHeaders(new BrokerError('model_not_found')), {})
  t.same(errorHeaders(new BrokerError('storage_unavailable', { retryAfterSeconds: 1.2 })), {
    'retry-after': '2',
  })
  t.same(errorHeaders(new BrokerError('credential_reauth_required')), { 'x-should-retry': 'false' })
  const reauth = openAiError(new BrokerError('credential_reauth_required')).error.message
  t.match(reauth, /认证失败，请重新登录/)
  t.match(reauth, /Log in again/)
})

t.test('whatever else is thrown becomes one of them', async (t) => {
  const of = (thrown: unknown) => toBrokerError(thrown).code
  const known = new BrokerError('name_taken')
  t.equal(toBrokerError(known), known)
  t.equal(of({ statusCode: 413, code: 'FST_ERR_CTP_BODY_TOO_LARGE' }), 'request_too_large')
  t.equal(of({ statusCode: 415, code: 'FST_ERR_CTP_INVALID_MEDIA_TYPE' }), 'unsupported_media_type')
  t.equal(of({ statusCode: 400, message: 'Unexpected token' }), 'malformed_request')
  t.equal(of(new Error('at /home/secret')), 'internal_error')
  t.equal(of('a string'), 'internal_error')
  t.notMatch(JSON.stringify(apiErrorBody(toBrokerError(new Error('at /home/secret')), 'en')), 'secret')
})
