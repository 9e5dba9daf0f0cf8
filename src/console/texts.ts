/**
 * Everything the console says: English is the key, Chinese the value, so that a text without a translation does not
 * compile.
 */
import { OF_ACCOUNTS } from './account-texts.ts'
import { language } from './settings.ts'

const CHINESE = {
  ...OF_ACCOUNTS,

  // frame
  Overview: '概览',
  Playground: '试用',
  Keys: '密钥',
  Usage: '用量',
  Audit: '审计',
  Sections: '栏目',
  Theme: '主题',
  Automatic: '跟随系统',
  Light: '浅色',
  Dark: '深色',
  'Sign out': '退出登录',
  'Skip to content': '跳到正文',
  'Sign in': '登录',
  'Admin token': '管理员令牌',
  'That is not the admin token.': '管理员令牌不正确。',
  'The broker cannot be reached. This page comes back by itself.': '无法连接服务，恢复后页面会自动继续。',
  'Sign in with the admin token. The first start wrote it to a file: data/admin-token.':
    '请使用管理员令牌登录。首次启动时已写入文件 data/admin-token。',

  // everywhere
  Loading: '加载中',
  'Try again': '重试',
  Cancel: '取消',
  Copy: '复制',
  Copied: '已复制',
  Delete: '删除',
  Save: '保存',
  Show: '显示',
  'Show all': '显示全部',
  Details: '详情',
  Pages: '分页',
  Previous: '上一页',
  Next: '下一页',
  '{from}–{to} of {total}': '第 {from}–{to} 条，共 {total} 条',
  Name: '名称',
  Models: '模型',
  'separated by commas': '用逗号分隔',
  optional: '可选',
  'set; leave empty to keep it': '已设置，留空则保留',
  'or from a file': '或从文件读取',
  'Where to find it': '在哪里找到',
  'The credential goes to this host. Enter only one that you trust.':
    '凭证会发往此主机，请只填写您信任的主机。',
  'What this account says is not whole: {reason}': '此账户缺少必需的内容：{reason}',
  any: '任意',
  'only where it differs': '仅在不同时填写',
  Any: '任意',
  'and {n} more': '另有 {n} 项',

  // overview
  'Connect account': '连接账号',
  'Connect your first account': '连接您的第一个账号',
  'Pick a provider and approve once on its page. Your apps then use one address and one key that never expires.':
    '选择提供方，并在其页面上授权一次。之后应用只需一个地址和一个永不过期的密钥。',
  'Nothing needs you.': '目前无需处理。',
  '{n} accounts need you': '{n} 个账号需要处理',
  'Needs you': '需要处理',
  All: '全部',
  Enabled: '已启用',
  'Find by name': '按名称查找',
  'Nothing matches.': '没有符合条件的结果。',
  Account: '账号',
  Accounts: '账号',
  'Requests, 24 h': '请求数（24 小时）',
  'Errors, 24 h': '错误数（24 小时）',
  'Tokens, 24 h': '令牌用量（24 小时）',
  'Last 24 hours': '最近 24 小时',
  '{in} in · {out} out': '输入 {in} · 输出 {out}',
  '{n} errors': '{n} 个错误',
  'highest {n}': '最高 {n}',
  Look: '查看',
  'The broker cannot do its work: {problem}': '服务无法正常工作：{problem}',
  'the database does not answer': '数据库无响应',
  'the database cannot be written': '数据库无法写入',
  'the journal cannot be written': '刷新日志文件无法写入',
  'TOKEN_ENCRYPTION_KEY does not open the database': 'TOKEN_ENCRYPTION_KEY 无法解密数据库',

  // audit
  What: '内容',
  Who: '操作者',
  Anybody: '任何人',
  Credentials: '凭据',
  Logins: '账号登录',
  'Sign-ins': '控制台登录',
  Console: '控制台',
  'Login link': '登录链接',
  Onboarding: '账号接入',
  'Command line': '命令行',
  'The broker itself': '系统',
  'Account created': '已创建账号',
  'Account changed': '已修改账号',
  'Account deleted': '已删除账号',
  'Login asked for': '已发起登录',
  'Logged in': '已登录',
  'Refresh asked for': '手动刷新',
  Tested: '已测试',
  'Token read': '已读取令牌',
  'Key created': '已创建密钥',
  'Key rotated': '已轮换密钥',
  'Key changed': '已修改密钥',
  'Changed without the key': '被没有密钥的人改动',
  'Key revoked': '已吊销密钥',
  'Login approved': '已授权登录',
  'Signed in': '已登录控制台',
  'Signed out': '已退出控制台',
  'Access refused': '访问被拒绝',
  'Grant revoked': '已撤销授权',
  'Grant not revoked': '授权未能撤销',

  // keys
  'Create key': '创建密钥',
  'No keys yet': '还没有密钥',
  'Every app gets a key of its own, for the accounts and models you choose.':
    '为每个应用创建独立的密钥，并限定可用的账号和模型。',
  'All accounts': '全部账号',
  '{n} accounts': '{n} 个账号',
  '{n} a minute': '每分钟 {n} 次',
  'Created {time}': '创建于 {time}',
  Revoke: '吊销',
  'Revoke {name}?': '吊销 {name}？',
  'Apps that use this key are refused within seconds. This cannot be undone.':
    '使用此密钥的应用将在数秒内被拒绝。此操作无法撤销。',
  'e.g. the app that uses it': '例如使用它的应用',
  Expires: '有效期至',
  Never: '永不过期',
  'in {n} days': '{n} 天后',
  'Requests a minute': '每分钟请求数',
  'no limit': '不限',
  'All, also those to come': '全部，包括以后新增的',
  'Only these': '仅以下账号',
  'Find an account by name': '按名称查找账号',
  'Choose at least one account.': '请至少选择一个账号。',
  '{n} more; narrow the search': '另有 {n} 个，请缩小查找范围',
  'Your new key: {name}': '新密钥：{name}',
  'Copy it now. It is stored as a digest only and cannot be shown again.':
    '请立即复制。系统只保存其摘要，之后无法再次显示。',
  'Change key': '修改密钥',
  Rotate: '轮换',
  'Rotate {name}?': '轮换 {name}？',
  'It gets a new key. The one that apps have now works on for the time you choose.':
    '将生成新密钥。应用当前使用的密钥在您选择的时间内仍然有效。',
  'The old key works for': '旧密钥继续有效',
  'not at all': '立即失效',
  'an hour': '1 小时',
  'a day': '1 天',
  'a week': '1 周',
  'Never used': '从未使用',
  'Used {time}': '{time}使用',
  'The one before works until {time}.': '旧密钥在 {time} 之前仍然有效。',
  'Copy the key': '复制密钥',
  'Copy the snippet': '复制代码',
  'How to use it': '使用方法',
  'I have copied it': '我已复制',

  // playground
  'New chat': '新对话',
  'No model to talk to yet': '还没有可用的模型',
  'Connect an account first; its models appear here.': '请先连接账号，其模型会显示在这里。',
  'Model and key': '模型和密钥',
  Model: '模型',
  Key: '密钥',
  'Temporary, 1 hour': '临时密钥，1 小时',
  'Another key …': '其他密钥…',
  'Broker key': '密钥',
  'System message': '系统消息',
  'Offer a sample tool: the time': '提供示例工具：当前时间',
  Conversation: '对话',
  Messages: '消息',
  Message: '消息',
  'Say something. The answer is streamed through the broker, as your apps will get it.':
    '说点什么吧。回答将通过本服务流式返回，与应用得到的一致。',
  'Hello! What can you do?': '你好！你能做什么？',
  Send: '发送',
  Stop: '停止',
  You: '您',
  'Tool result': '工具结果',
  'first word after {time}': '首字 {time}',
  'done after {time}': '完成 {time}',

  // usage
  Span: '时间范围',
  '24 hours': '24 小时',
  '{n} days': '{n} 天',
  Errors: '错误数',
  Tokens: '令牌用量',
  'Tokens in': '输入令牌',
  'Tokens out': '输出令牌',
  'By day': '按天',
  'By hour': '按小时',
  'By model': '按模型',
  'By key': '按密钥',
  'By account': '按账号',
  'As a table': '以表格显示',
  Day: '日期',
  Hour: '时间',
  'Nothing was used in this span': '该时间范围内没有用量',
  'Calls show up here within seconds. Days begin at {time} where you are.':
    '调用会在数秒内显示在这里。每天从您所在时区的 {time} 开始。',
  'no model named': '未指定模型',
  'deleted ({id})': '已删除（{id}）',
} as const

export type Text = keyof typeof CHINESE

/** What English says of one. */
const SINGULAR: Partial<Record<Text, string>> = {
  '{n} accounts need you': '{n} account needs you',
  '{n} errors': '{n} error',
  '{n} accounts': '{n} account',
  '{n} models': '{n} model',
}

/** In the chosen language, with its values in place. */
export function t(text: Text, values: Readonly<Record<string, string | number>> = {}): string {
  const english = String(values['n']) === '1' ? (SINGULAR[text] ?? text) : text
  const said: string = language() === 'zh' ? CHINESE[text] : english
  return said.replace(/\{(\w+)\}/g, (all, name: string) => String(values[name] ?? all))
}
