/**
 * The one table of errors a client can see, and the one class that carries them.
 *
 * Every code is stable: SDKs and front ends may branch on it. `/api` renders an entry as
 * `{detail, code, message}` (docs/api.md, Onboarding), `/v1` as an OpenAI error (Calls), the command line as one line.
 */
import type { Language, Said } from './language.ts'
import { type ErrorEntry, LOGIN_ERRORS } from './login-errors.ts'

export const ERRORS = {
  // what the caller sent
  malformed_request: { status: 400, english: 'The request could not be read', chinese: '请求格式错误' },
  invalid_path: {
    status: 400,
    english: 'The path is not one this server forwards',
    chinese: '请求路径无效',
  },
  invalid_request: { status: 422, english: 'The request is not valid', chinese: '请求参数无效' },
  request_too_large: { status: 413, english: 'The request body is too large', chinese: '请求体过大' },
  unsupported_media_type: {
    status: 415,
    english: 'The content type is not supported here; send application/json',
    chinese: '不支持的内容类型，请使用 application/json',
  },
  not_found: { status: 404, english: 'There is nothing at this address', chinese: '地址不存在' },
  request_timeout: { status: 408, english: 'The request did not arrive in time', chinese: '请求超时' },

  // who the caller is
  invalid_api_key: {
    status: 401,
    english: 'A call needs a broker key, sent as "Authorization: Bearer sk-tb-…"',
    chinese: 'API 密钥缺失或无效',
  },
  admin_token_required: {
    status: 401,
    english: 'This call needs the admin token as "Authorization: Bearer …"',
    chinese: '需要管理员令牌',
  },
  csrf_token_required: {
    status: 403,
    english: "A call with the console's cookie that changes something needs its x-csrf-token",
    chinese: '缺少或错误的 CSRF 令牌',
  },
  origin_not_allowed: {
    status: 403,
    english: 'Pages of this origin may not do that; the operator can name it in CORS_ORIGINS',
    chinese: '该来源的页面不允许此操作，可由管理员将其加入 CORS_ORIGINS',
  },
  rate_limit_exceeded: {
    status: 429,
    english: 'Too many requests; try again after the time in Retry-After',
    chinese: '请求过于频繁，请稍后再试',
  },

  ...LOGIN_ERRORS,

  // management (docs/api.md, Management)
  config_not_found: { status: 404, english: 'There is no such model config', chinese: '模型配置不存在' },
  key_not_found: { status: 404, english: 'There is no such API key', chinese: 'API 密钥不存在' },
  no_token: {
    status: 409,
    english: 'This config holds an API key or AWS keys, which are never handed out; use it through /v1',
    chinese: '该配置为 API 密钥或 AWS 密钥，不会被读出；请通过 /v1 使用',
  },
  token_reading_disabled: {
    status: 403,
    english: 'Reading tokens is switched off; the operator can allow it with ALLOW_TOKEN_READING=true',
    chinese: '读取令牌功能未开启；管理员可设置 ALLOW_TOKEN_READING=true 开启',
  },
  token_reading_not_allowed: {
    status: 403,
    english: 'Reading tokens takes the admin token, or a broker key with may_read_tokens',
    chinese: '读取令牌需要管理员令牌，或带有 may_read_tokens 权限的密钥',
  },
  name_taken: { status: 409, english: 'The name is already in use', chinese: '名称已存在' },
  external_id_taken: {
    status: 409,
    english: 'Another model config has this external_id',
    chinese: 'external_id 已被其他模型配置使用',
  },
  stale_update: {
    status: 409,
    english: 'The config was changed since it was read; read it again',
    chinese: '该配置已被其他用户修改，请刷新后重试',
  },

  // the way to the model (docs/api.md, Calls)
  model_not_found: {
    status: 404,
    english: 'No model config of this key serves the model',
    chinese: '没有可用的模型配置',
  },
  websocket_not_served: {
    status: 426,
    english: 'The model endpoint takes no WebSocket here; make the call over HTTP',
    chinese: '上游服务在此处不支持 WebSocket，请使用 HTTP',
  },
  credential_reauth_required: {
    status: 401,
    english: 'The credential behind this model is no longer valid. Log in again',
    chinese: '认证失败，请重新登录',
  },
  credential_refused: {
    status: 401,
    english:
      'A server refuses what this account was given (client, secret, key): correct it, and the call goes through',
    chinese: '服务器拒绝了该账号所用的客户端、密钥或凭据，请修正后重试',
  },
  config_unavailable: {
    status: 503,
    english: 'The call names what one account made, and that account cannot answer right now',
    chinese: '该请求引用了某个账号创建的资源，而该账号暂时不可用',
  },
  refresh_unavailable: {
    status: 503,
    english: 'The access token has expired and cannot be refreshed right now; try again shortly',
    chinese: '令牌已过期且暂时无法刷新，请稍后再试',
  },
  session_not_extended: {
    status: 409,
    english: 'The server knows the session and did not extend it; the token serves to its end',
    chinese: '服务器认可该会话但没有延长；令牌在到期前仍可使用',
  },
  storage_unavailable: {
    status: 503,
    english: 'The database cannot be reached right now; try again shortly',
    chinese: '数据库暂时不可用，请稍后再试',
  },
  decryption_failed: {
    status: 503,
    english: 'A stored secret cannot be decrypted; check TOKEN_ENCRYPTION_KEY',
    chinese: '解密失败，请检查 TOKEN_ENCRYPTION_KEY',
  },
  upstream_not_allowed: {
    status: 502,
    english: "The credential names an upstream host that is not in the provider's resource_hosts",
    chinese: '凭据中的上游地址不在允许列表中',
  },
  upstream_not_configured: {
    status: 404,
    english: 'This provider serves no completions: its file names no upstream.base_url',
    chinese: '该提供方不提供模型调用服务',
  },
  upstream_unreachable: {
    status: 502,
    english: 'The model endpoint cannot be reached',
    chinese: '无法连接上游服务',
  },
  upstream_timeout: {
    status: 504,
    english: 'The model endpoint did not answer in time',
    chinese: '上游服务响应超时',
  },
  upstream_redirected: {
    status: 502,
    english:
      "The model endpoint redirects elsewhere, where this credential must not go; correct the config's base URL",
    chinese: '上游服务重定向到其他地址，请检查 base_url',
  },
  upstream_broken: {
    status: 502,
    english: 'The model endpoint broke off its answer',
    chinese: '上游服务中断了响应',
  },
  overloaded: {
    status: 503,
    english: 'This server has as much to do as it can take; try again after the time in Retry-After',
    chinese: '服务器负载过高，请稍后再试',
  },
  internal_error: { status: 500, english: 'Something went wrong on our side', chinese: '服务器内部错误' },
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof ERRORS

export interface BrokerErrorOptions {
  /** Why, for the log. Never shown to a client, never a secret. */
  detail?: string
  /** Added for the client, e.g. which field; text alone stands in both languages. Never a secret. */
  reason?: string | Said
  retryAfterSeconds?: number
  /** With rate_limit_exceeded: how many calls a minute are allowed. */
  limit?: number
  cause?: unknown
}

export class BrokerError extends Error {
  readonly code: ErrorCode
  readonly detail: string | undefined
  readonly reason: string | undefined // in English
  readonly #chineseReason: string | undefined
  readonly retryAfterSeconds: number | undefined
  readonly limit: number | undefined

  constructor(code: ErrorCode, options: BrokerErrorOptions = {}) {
    super(options.detail ?? ERRORS[code].english, { cause: options.cause })
    this.name = 'BrokerError'
    this.code = code
    this.detail = options.detail
    const { reason } = options
    this.reason = typeof reason === 'object' ? reason.english : reason
    this.#chineseReason = typeof reason === 'object' ? reason.chinese : reason
    this.retryAfterSeconds = options.retryAfterSeconds
    this.limit = options.limit
  }

  get status(): number {
    return ERRORS[this.code].status
  }

  get english(): string {
    return this.reason ? `${ERRORS[this.code].english}: ${this.reason}` : ERRORS[this.code].english
  }

  get chinese(): string {
    const { chinese } = ERRORS[this.code]
    return this.#chineseReason ? `${chinese}：${this.#chineseReason}` : chinese
  }

  in(language: Language): string {
    return language === 'zh' ? this.chinese : this.english
  }
}

/** Body of an error under `/api`: `detail` is Chinese, `message` in the language asked for. */
export function apiErrorBody(
  error: BrokerError,
  language: Language,
): { detail: string; code: ErrorCode; message: string } {
  return { detail: error.chinese, code: error.code, message: error.in(language) }
}
