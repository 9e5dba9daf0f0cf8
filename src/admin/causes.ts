/**
 * What can be wrong with a config, how to tell from an upstream answer, and what a person should do. One table;
 * the rows are those that real users ran into.
 */
import type { Provider } from '../base/provider.ts'

interface CauseEntry {
  readonly english: string
  readonly chinese: string
  readonly advice: string
  readonly adviceChinese: string
}

export const CAUSES = {
  none: {
    english: 'Everything works',
    chinese: '一切正常',
    advice: 'Nothing to do',
    adviceChinese: '无需操作',
  },
  login_needed: {
    english: 'There is no valid login behind this config',
    chinese: '该配置没有有效的登录凭据',
    advice: 'Log in again',
    adviceChinese: '请重新登录',
  },
  wrong_host: {
    english: 'The token was sent to a host it is not for, or it has really expired',
    chinese: '令牌发送到了错误的主机，或已过期',
    advice: "Use the token's own resource_url + /v1; then refresh, or log in again",
    adviceChinese: '请使用令牌的 resource_url + /v1，然后刷新或重新登录',
  },
  wrong_plan: {
    english:
      'The key belongs to another plan or region than the URL, or an OAuth token was sent to DashScope',
    chinese: '密钥与地址的套餐或地域不匹配，或 OAuth 令牌被发往 DashScope',
    advice: "Use the key with its own plan's and region's provider; OAuth tokens go to their resource_url",
    adviceChinese: '请按密钥所属套餐和地域选择提供方；OAuth 令牌应发往其 resource_url',
  },
  not_entitled: {
    english: 'Even a fresh token is refused: the account is not entitled (the free tier ended)',
    chinese: '新令牌仍被拒绝：账号没有调用权限（免费额度已终止）',
    advice: 'Use an API key (dashscope, coding-plan) instead of this login',
    adviceChinese: '请改用 API 密钥（dashscope、coding-plan）',
  },
  key_refused: {
    english: 'The endpoint refuses the key',
    chinese: '上游拒绝了该密钥',
    advice: 'Check that the key is complete, not revoked, and of the same plan and region as the URL',
    adviceChinese: '请检查密钥是否完整、未被吊销，且与地址的套餐和地域一致',
  },
  request_refused: {
    english: 'The endpoint refuses the form of the request or its client headers',
    chinese: '上游拒绝了请求格式或客户端头部',
    advice: "Set the provider file's upstream.headers; some endpoints want a system message first",
    adviceChinese: '请设置提供方文件中的 upstream.headers；部分接口要求首条为 system 消息',
  },
  gateway_in_front: {
    english: 'A gateway in front of the server answered, not the server itself',
    chinese: '服务器前的网关返回了响应',
    advice: 'It passes: try again later, nothing is lost',
    adviceChinese: '通常是暂时的，请稍后重试，数据不会丢失',
  },
  quota: {
    english: 'The quota is used up',
    chinese: '额度已用尽',
    advice: 'Wait, or use another config',
    adviceChinese: '请等待额度恢复或使用其他配置',
  },
  rate_limited: {
    english: 'Too many requests at the moment',
    chinese: '请求过于频繁',
    advice: 'Wait a little',
    adviceChinese: '请稍候再试',
  },
  model_unknown: {
    english: 'The endpoint does not know the model',
    chinese: '上游不存在该模型',
    advice: 'Correct the model ids of this config',
    adviceChinese: '请修正该配置的模型名称',
  },
  no_model: {
    english: 'The config lists no model, so nothing could be tried',
    chinese: '该配置没有模型，无法测试',
    advice: 'Add a model to the config',
    adviceChinese: '请为该配置添加模型',
  },
  no_completions: {
    english: 'This provider keeps a login alive and serves no completions',
    chinese: '该提供方仅维持登录，不提供模型调用',
    advice: 'Use another provider for completions',
    adviceChinese: '请使用其他提供方进行模型调用',
  },
  host_not_allowed: {
    english: 'The credential names a host that is not in resource_hosts of the provider file',
    chinese: '凭据中的主机不在提供方文件的 resource_hosts 中',
    advice: 'If you trust the host, add it there; else log in again',
    adviceChinese: '如信任该主机请加入列表，否则请重新登录',
  },
  unreachable: {
    english: 'The endpoint cannot be reached',
    chinese: '无法连接上游服务',
    advice: 'Check the base URL and the network of this machine',
    adviceChinese: '请检查地址和本机网络',
  },
  refresh_stuck: {
    english: 'The token has ended and cannot be refreshed right now',
    chinese: '令牌已过期且暂时无法刷新',
    advice: 'The broker tries again by itself; see last_error',
    adviceChinese: '系统会自动重试，详见 last_error',
  },
  provider_missing: {
    english: 'The file of its provider is missing',
    chinese: '缺少该提供方的文件',
    advice: 'Put it back into config/providers or CONFIG_FILE, or delete this config',
    adviceChinese: '请将其放回 config/providers 或 CONFIG_FILE，或删除该配置',
  },
  unknown: {
    english: 'The endpoint answered in a way that is not known here',
    chinese: '上游返回了未知响应',
    advice: 'Look at the status and the message',
    adviceChinese: '请查看状态码和消息',
  },
} as const satisfies Record<string, CauseEntry>

export type Cause = keyof typeof CAUSES

export interface UpstreamAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

/** What a refused token means is told from a second try with a fresh one; see `diagnosis.ts`. */
export type Verdict = Cause | 'token_refused'

/** Judges a completion's answer. */
export function judgeAnswer(answer: UpstreamAnswer, provider: Provider): Verdict {
  const { status, body } = answer
  if (status === 200) return isJson(answer) ? 'none' : 'gateway_in_front'
  if (!isJson(answer)) return 'gateway_in_front'
  if (
    [...provider.errors.quota].some((code) => body.includes(code)) ||
    /allocated quota exceeded/i.test(body)
  ) {
    return 'quota'
  }
  if (/your session has expired, or the token is no longer valid/i.test(body)) return 'wrong_host'
  if (/incorrect api key provided/i.test(body)) return 'wrong_plan'
  if (status === 401) return provider.kind === 'api_key' ? 'key_refused' : 'token_refused'
  if (status === 404 || /model_not_found|model not exist/i.test(body)) return 'model_unknown'
  if (status === 400) return 'request_refused'
  if (status === 429) return 'rate_limited'
  return status >= 500 ? 'gateway_in_front' : 'unknown'
}

/** A page of a firewall or a proxy is HTML at any status. */
function isJson({ contentType, body }: UpstreamAnswer): boolean {
  return contentType.includes('json') && /^\s*[{[]/.test(body)
}
