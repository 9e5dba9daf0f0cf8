/** Errors of logins (docs/api.md, Onboarding), for the one table in `errors.ts`. */

export interface ErrorEntry {
  readonly status: number
  readonly english: string
  readonly chinese: string
}

export const LOGIN_ERRORS = {
  provider_not_found: { status: 404, english: 'There is no such provider', chinese: '提供方不存在' },
  inputs_required: {
    status: 422,
    english: 'Connect the account with its inputs first, then log it in',
    chinese: '请先填写参数并连接账号，再登录',
  },
  device_flow_unsupported: {
    status: 404,
    english: 'This provider has no device flow',
    chinese: '该提供方不支持设备码登录',
  },
  device_authorization_failed: {
    status: 500,
    english: 'The authorization server did not give a device code',
    chinese: '获取设备码失败：认证服务返回错误',
  },
  invalid_device_code: {
    status: 400,
    english: 'The device code is missing or not valid',
    chinese: '设备码无效',
  },
  session_not_found: { status: 404, english: 'There is no such session', chinese: '会话不存在' },
  authorization_timeout: {
    status: 408,
    english: 'The login was not completed in time; start again',
    chinese: '认证超时',
  },
  access_denied: { status: 403, english: 'The user refused the authorization', chinese: '用户拒绝授权' },
  authorization_server_refused: {
    status: 502,
    english: "The authorization server refuses this login; check the provider file's client",
    chinese: '认证服务拒绝了登录请求，请检查提供方的客户端配置',
  },
  authorization_server_unreachable: {
    status: 502,
    english: 'The authorization server cannot be reached, or does not say where to log in; try again later',
    chinese: '无法连接认证服务，或其未提供登录地址，请稍后再试',
  },
  authorization_unclear: {
    status: 502,
    english: 'The authorization server gave no clear answer to this login; begin it again',
    chinese: '认证服务未明确答复本次登录，请重新开始',
  },
  issuer_mismatch: {
    status: 403,
    english: 'The answer is not from the server that this login was begun at; begin it again',
    chinese: '返回的结果并非来自发起登录的认证服务，请重新开始',
  },
  login_used: {
    status: 409,
    english: 'This answer was used already; the account shows what came of it',
    chinese: '该登录结果已被使用，请查看账号状态',
  },
  login_begun_elsewhere: {
    status: 403,
    english: 'This login was begun in another browser: copy the address of this page, and paste it there',
    chinese: '登录是在其他浏览器中发起的：请复制本页地址，并粘贴到发起登录的页面',
  },
  pasted_address_unfit: {
    status: 422,
    english: 'This is not the address that this login ends at; copy all of it from the address bar',
    chinese: '该地址不是本次登录返回的地址，请从地址栏完整复制',
  },
  session_not_ready: {
    status: 409,
    english: 'The login of this session is not completed yet',
    chinese: '该会话尚未完成认证',
  },
  login_superseded: {
    status: 409,
    english: 'The account was logged in otherwise meanwhile, or is gone; this login changed nothing',
    chinese: '该账号已通过其他方式登录或已被删除，本次登录未生效',
  },
} as const satisfies Record<string, ErrorEntry>
