/**
 * What can be wrong with a config, and what a person should do. One table; the rows are those that real users ran into.
 */
import { type CauseEntry, TOKEN_CAUSES } from './token-causes.ts'

export const CAUSES = {
  none: {
    next: 'none',
    english: 'Everything works',
    chinese: '一切正常',
    advice: 'Nothing to do',
    adviceChinese: '无需操作',
  },
  login_needed: {
    next: 'login',
    english: 'There is no valid login behind this config',
    chinese: '该配置没有有效的登录凭据',
    advice: 'Log in again',
    adviceChinese: '请重新登录',
  },
  wrong_host: {
    next: 'login',
    english: 'The token was sent to a host it is not for',
    chinese: '令牌发送到了错误的主机',
    advice:
      "Use the token's own resource_url + /v1: correct upstream.base_url and resource_hosts of the provider file, or log in again",
    adviceChinese:
      '请使用令牌自身的 resource_url + /v1：修正提供方文件中的 upstream.base_url 和 resource_hosts，或重新登录',
  },
  wrong_plan: {
    next: 'set_api_key',
    english: 'The key belongs to another plan or region than the URL',
    chinese: '密钥与地址的套餐或地域不匹配',
    advice: "Use the key with its own plan's and region's provider",
    adviceChinese: '请按密钥所属的套餐和地域选择提供方',
  },
  wrong_key: {
    next: 'set_api_key',
    english: 'The endpoint does not know the key',
    chinese: '密钥错误：上游不认识该密钥',
    advice:
      'Copy the key once more, whole and without blanks; if it was deleted or expired, make a new one and set it',
    adviceChinese: '请重新完整复制密钥（不含空格）；若已删除或过期，请创建新密钥并填入',
  },
  not_entitled: {
    next: 'set_api_key',
    english: 'Even a fresh token is refused: the account is not entitled (the free tier of Qwen OAuth ended)',
    chinese: '新令牌仍被拒绝：账号没有调用权限（Qwen OAuth 的免费额度已终止）',
    advice:
      'Use an API key instead of this login, with provider dashscope-intl (https://modelstudio.console.alibabacloud.com/?tab=model#/api-key), dashscope (https://bailian.console.aliyun.com/?tab=model#/api-key) or coding-plan',
    adviceChinese:
      '请改用 API 密钥：提供方 dashscope（https://bailian.console.aliyun.com/?tab=model#/api-key）、dashscope-intl（https://modelstudio.console.alibabacloud.com/?tab=model#/api-key）或 coding-plan',
  },
  key_refused: {
    next: 'set_api_key',
    english: 'The endpoint refuses the key, and does not say why',
    chinese: '上游拒绝了该密钥，未说明原因',
    advice: 'Check that the key is complete, not revoked, and of the same plan and region as the URL',
    adviceChinese: '请检查密钥是否完整、未被吊销，且与地址的套餐和地域一致',
  },
  free_quota: {
    next: 'wait',
    english: 'The free quota of this model is used up, and the account is set to use nothing else',
    chinese: '该模型的免费额度已用尽，且账号开启了“仅使用免费额度”',
    advice:
      'Switch "free quota only" off in the vendor\'s console to go on paid, or use another model or config',
    adviceChinese: '请在厂商控制台关闭“仅使用免费额度”以按量付费，或使用其他模型或配置',
  },
  arrears: {
    next: 'wait',
    english: 'The account owes money, or has none left',
    chinese: '账号已欠费或余额不足',
    advice: "Pay what is due in the vendor's console, and wait a few minutes; or use another config",
    adviceChinese: '请在厂商控制台充值，几分钟后重试；或使用其他配置',
  },
  model_denied: {
    next: 'wait',
    english: 'The key is good, but its workspace or account may not use this model',
    chinese: '密钥有效，但其业务空间或账号无权调用该模型',
    advice:
      "Allow the model for the key's workspace in the vendor's console, use a key of the default workspace, or another model",
    adviceChinese: '请在厂商控制台为该业务空间授权此模型，或改用默认业务空间的密钥，或换一个模型',
  },
  not_activated: {
    next: 'wait',
    english: 'The key is good, but the account has not activated the service',
    chinese: '密钥有效，但账号尚未开通该服务',
    advice: "Open the vendor's console with this account and agree to the terms there",
    adviceChinese: '请用该账号打开厂商控制台并同意服务协议以开通',
  },
  request_refused: {
    next: 'none',
    english: 'The endpoint refuses the form of the request or its client headers',
    chinese: '上游拒绝了请求格式或客户端头部',
    advice: "Set the provider file's upstream.headers; some endpoints want a system message first",
    adviceChinese: '请设置提供方文件中的 upstream.headers；部分接口要求首条为 system 消息',
  },
  gateway_in_front: {
    next: 'wait',
    english: 'A gateway in front of the server answered, not the server itself',
    chinese: '服务器前的网关返回了响应',
    advice: 'It passes: try again later, nothing is lost',
    adviceChinese: '通常是暂时的，请稍后重试，数据不会丢失',
  },
  quota: {
    next: 'wait',
    english: 'The quota is used up',
    chinese: '额度已用尽',
    advice: 'Wait, or use another config',
    adviceChinese: '请等待额度恢复或使用其他配置',
  },
  rate_limited: {
    next: 'wait',
    english: 'Too many requests at the moment',
    chinese: '请求过于频繁',
    advice: 'Wait a little',
    adviceChinese: '请稍候再试',
  },
  model_unknown: {
    next: 'none',
    english: 'The endpoint does not know the model',
    chinese: '上游不存在该模型',
    advice: 'Correct the model ids of this config',
    adviceChinese: '请修正该配置的模型名称',
  },
  no_model: {
    next: 'none',
    english: 'The config lists no model, so nothing could be tried',
    chinese: '该配置没有模型，无法测试',
    advice: 'Add a model to the config',
    adviceChinese: '请为该配置添加模型',
  },
  no_completions: {
    next: 'none',
    english: 'This provider keeps a login alive and serves no completions',
    chinese: '该提供方仅维持登录，不提供模型调用',
    advice: 'Use another provider for completions',
    adviceChinese: '请使用其他提供方进行模型调用',
  },
  host_not_allowed: {
    next: 'login',
    english: 'The credential names a host that is not in resource_hosts of the provider file',
    chinese: '凭据中的主机不在提供方文件的 resource_hosts 中',
    advice: 'If you trust the host, add it there; else log in again',
    adviceChinese: '如信任该主机请加入列表，否则请重新登录',
  },
  unreachable: {
    next: 'wait',
    english: 'The endpoint cannot be reached',
    chinese: '无法连接上游服务',
    advice: 'Check the base URL and the network of this machine',
    adviceChinese: '请检查地址和本机网络',
  },
  not_extended: {
    next: 'login',
    english: 'The session is alive, but its server does not extend it',
    chinese: '会话有效，但服务器不会延长它',
    advice: 'Log in again before it ends: put a new token in',
    adviceChinese: '请在到期前重新登录并填入新令牌',
  },
  renewal_failing: {
    next: 'wait',
    english: 'The server that renews this login does not answer as it should; the token serves to its end',
    chinese: '负责续期的服务器响应异常；令牌在到期前仍可使用',
    advice: 'Nothing is lost and the broker tries again by itself; the check says what came back',
    adviceChinese: '数据不会丢失，系统会自动重试；检查项中有服务器的响应',
  },
  credential_refused: {
    next: 'edit_inputs',
    english: 'The server that gives out tokens refuses what this account was given',
    chinese: '签发令牌的服务器拒绝了该账号所用的凭据',
    advice:
      'The check says what it said: correct the client, its secret or key, or ask for the right; the next call then tries it at once',
    adviceChinese: '检查项中有服务器的说明：请修正客户端、密钥或申请权限，之后的调用会立即重试',
  },
  ...TOKEN_CAUSES,
  refresh_stuck: {
    next: 'wait',
    english: 'The token has ended and cannot be refreshed right now',
    chinese: '令牌已过期且暂时无法刷新',
    advice: 'The broker tries again by itself; see last_error',
    adviceChinese: '系统会自动重试，详见 last_error',
  },
  provider_missing: {
    next: 'restore_provider',
    english: 'The file of its provider is missing',
    chinese: '缺少该提供方的文件',
    advice: 'Put it back into config/providers or CONFIG_FILE, or delete this config',
    adviceChinese: '请将其放回 config/providers 或 CONFIG_FILE，或删除该配置',
  },
  cannot_decrypt: {
    next: 'none',
    english: 'What is stored for this config cannot be opened, or was changed by somebody without the key',
    chinese: '该配置存储的内容无法解密，或被没有密钥的人改动过',
    advice:
      'Put the key that sealed it back into TOKEN_ENCRYPTION_KEY; if none is missing, find out who writes to the database, delete the config and connect it anew',
    adviceChinese:
      '请把加密时使用的密钥加回 TOKEN_ENCRYPTION_KEY；若密钥齐全，请查明谁在改动数据库，删除该配置后重新连接',
  },
  unknown: {
    next: 'none',
    english: 'The endpoint answered in a way that is not known here',
    chinese: '上游返回了未知响应',
    advice: 'Look at the status and the message',
    adviceChinese: '请查看状态码和消息',
  },
} as const satisfies Record<string, CauseEntry>

export type Cause = keyof typeof CAUSES
