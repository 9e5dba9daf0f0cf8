import t from 'tap'
import { apiErrorBody, BrokerError, ERRORS, type ErrorCode } from '../../src/base/errors.ts'
import { toBrokerError } from '../../src/base/thrown.ts'
import { errorBody, errorHeaders, openAiError } from '../../src/gateway/api-error.ts'

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

const CHAT = { id: 'req-1', url: '/v1/chat/completions', headers: {} }

/** Whose API a call is of. */
const CALLS: readonly (readonly [isAnthropic: boolean, url: string, headers?: Record<string, string>])[] = [
  [true, '/v1/messages'],
  [true, '/v1/messages?beta=true'],
  [true, '/v1/messages/count_tokens'],
  [true, '/v1/messages/batches/msgbatch_1'],
  [true, '/v1/models', { 'anthropic-version': '2023-06-01' }],
  [true, '/v1/files/file_1', { 'anthropic-version': '2023-06-01' }],
  [false, '/v1/chat/completions'],
  [false, '/v1/responses'],
  [false, '/v1/models'],
  [false, '/v1/messagesx'],
  [false, '/v1/threads/thread_1/messages'],
  [false, '/v1/x?to=/v1/messages'],
]

t.test('each API is answered in its own shape, with a type that it knows', async (t) => {
  for (const [isAnthropic, url, headers = {}] of CALLS) {
    for (const code of CODES) {
      const error = new BrokerError(code, { detail: 'private-detail', reason: 'field x is odd' })
      const asked = { id: 'req-1', url, headers }
      const body = errorBody(error, asked)
      t.equal(errorHeaders(error, asked)['request-id'], isAnthropic ? 'req-1' : undefined, url)
      if (!isAnthropic) t.same(body, openAiError(error), url)
      else {
        t.same(Object.keys(body), ['type', 'error', 'request_id'], url)
        t.same(Object.keys(body.error), ['type', 'message'])
        t.match(body, {
          type: 'error',
          request_id: 'req-1',
          error: { message: /^token-broker: .*x is odd$/ },
        })
        t.ok(ANTHROPIC_TYPES[ERRORS[code].status]?.includes(body.error.type), `${code}: ${body.error.type}`)
      }
      t.notMatch(JSON.stringify(body), 'private-detail')
    }
  }
  const typeOf = (code: ErrorCode) =>
    errorBody(new BrokerError(code), { ...CHAT, url: '/v1/messages' }).error.type
  t.equal(typeOf('overloaded'), 'overloaded_error')
  t.equal(typeOf('storage_unavailable'), 'api_error')
})

/** platform.claude.com/docs/en/api/errors, by status; one that it does not name is of the nearest kind. */
const ANTHROPIC_TYPES: Readonly<Record<number, readonly string[]>> = {
  400: ['invalid_request_error'],
  401: ['authentication_error'],
  403: ['permission_error'],
  404: ['not_found_error'],
  408: ['invalid_request_error'],
  409: ['invalid_request_error'],
  413: ['request_too_large'],
  415: ['invalid_request_error'],
  422: ['invalid_request_error'],
  426: ['invalid_request_error'],
  429: ['rate_limit_error'],
  500: ['api_error'],
  502: ['api_error'],
  503: ['api_error', 'overloaded_error'],
  504: ['timeout_error'],
}

t.test('OpenAI SDKs find the type and the headers they act on', async (t) => {
  const typeOf = (code: ErrorCode) => openAiError(new BrokerError(code)).error.type
  t.equal(typeOf('invalid_api_key'), 'authentication_error')
  t.equal(typeOf('rate_limit_exceeded'), 'rate_limit_error')
  t.equal(typeOf('model_not_found'), 'invalid_request_error')
  t.equal(typeOf('upstream_timeout'), 'server_error')
  const headersOf = (error: BrokerError) => errorHeaders(error, CHAT)
  t.same(headersOf(new BrokerError('model_not_found')), { 'x-request-id': 'req-1' })
  t.same(headersOf(new BrokerError('storage_unavailable', { retryAfterSeconds: 1.2 })), {
    'x-request-id': 'req-1',
    'retry-after': '2',
  })
  for (const code of CODES) {
    const isOver = headersOf(new BrokerError(code))['x-should-retry'] === 'false'
    t.equal(isOver, ERRORS[code].status === 401, `${code}: no 401 mends itself`)
  }
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
