/**
 * What keeps a token call from bringing a token, and what a person should do: rows of the table of causes (causes.ts).
 */

/** What a person does here; `wait`: nothing, it is tried again by itself, once what is elsewhere has been mended. */
export const NEXT_ACTIONS = [
  'none',
  'wait',
  'login',
  'set_api_key',
  'edit_inputs',
  'restore_provider',
] as const

export interface CauseEntry {
  readonly next: (typeof NEXT_ACTIONS)[number]
  readonly english: string
  readonly chinese: string
  readonly advice: string
  readonly adviceChinese: string
}

export const TOKEN_CAUSES = {
  secret_expired: {
    next: 'edit_inputs',
    english: 'The client secret of this account has run out',
    chinese: '该账号的客户端密钥已过期',
    advice:
      "Make a new one in the server's console, and set it: an input of the account, or what the file reads it from",
    adviceChinese: '请在服务器控制台创建新的密钥并填入：账号的参数，或提供方文件读取它的位置',
  },
  clock_skew: {
    next: 'wait',
    english:
      'The clock of this machine and that of the server differ, so what is signed here counts as too early or too late',
    chinese: '本机与服务器的时钟不一致，因此本机签名的内容被视为过早或过期',
    advice: 'Set the clock of this machine by NTP; the check says how many seconds it is off',
    adviceChinese: '请用 NTP 校准本机时钟；检查项中有相差的秒数',
  },
  identity_expired: {
    next: 'wait',
    english: 'The identity token that is traded has ended: nobody has renewed its file',
    chinese: '用于换取令牌的身份令牌已过期：其文件没有被更新',
    advice:
      'See to what writes the file (the kubelet, an agent, a sidecar), and that the broker sees the new one; it is tried at once when the file changes',
    adviceChinese:
      '请检查写入该文件的程序（kubelet、代理或 sidecar），并确认 broker 能看到新文件；文件一变就会立即重试',
  },
  source_missing: {
    next: 'wait',
    english: 'What its token calls are made with is not there: a file, or a variable',
    chinese: '缺少请求令牌所需的内容：文件或环境变量',
    advice: 'Mount the file or set the variable that the check names; a file is found without a restart',
    adviceChinese: '请挂载检查项中所指的文件，或设置环境变量；文件出现后无需重启',
  },
  wrong_audience: {
    next: 'edit_inputs',
    english: 'The identity token, or the assertion, is for another audience than the server expects',
    chinese: '身份令牌或断言的受众（aud）与服务器期望的不一致',
    advice:
      "Compare the aud in the check with what the server says: correct the token's audience where it is issued, or the server's trust",
    adviceChinese: '请对照检查项中的 aud 与服务器的说明：修正签发处的受众，或服务器的信任配置',
  },
  identity_unknown: {
    next: 'wait',
    english: 'The server trusts no identity like the one that is traded',
    chinese: '服务器不信任用于换取令牌的身份',
    advice:
      "Compare issuer, subject and audience in the check with the server's trust (federated credential, pool or role)",
    adviceChinese: '请对照检查项中的 iss、sub、aud 与服务器的信任配置（联合凭据、身份池或角色）',
  },
  not_permitted: {
    next: 'wait',
    english: 'The server knows who is asking, and does not permit it',
    chinese: '服务器认识该身份，但没有授予权限',
    advice: "Give the role, the service account or the application the right that the server's words name",
    adviceChinese: '请为该角色、服务账号或应用授予服务器说明中所指的权限',
  },
  fresh_token_refused: {
    next: 'edit_inputs',
    english: 'The endpoint refuses even a fresh token, and does not say why',
    chinese: '上游连新令牌也拒绝，且未说明原因',
    advice:
      'The token is for another endpoint, audience or account: compare them, and what the account says for itself, with the words in the check',
    adviceChinese: '令牌可能属于其他地址、受众或账号：请对照检查项中的说明，核对它们以及账号的参数',
  },
  no_metadata_service: {
    next: 'edit_inputs',
    english: "This account takes the machine's own identity, and no metadata service of a cloud answers here",
    chinese: '该账号使用本机身份，但此处没有云平台的元数据服务',
    advice:
      'Run the broker on a machine of that cloud, let containers reach the service, or give the account keys, a secret or a file instead',
    adviceChinese: '请在该云的机器上运行 broker，允许容器访问元数据服务，或改用密钥、机密或文件',
  },
} as const satisfies Record<string, CauseEntry>
