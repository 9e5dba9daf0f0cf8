/**
 * Everything the console says: English is the key, Chinese the value, so that a text without a translation does not
 * compile.
 */
import { language } from './settings.ts'

const CHINESE = {
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
  any: '任意',
  'only if it is another': '仅在不同时填写',
  Any: '任意',
  'and {n} more': '另有 {n} 项',

  // overview
  'Connect account': '连接账号',
  'Connect your first account': '连接您的第一个账号',
  'Pick a provider and approve once on its page. Your apps then use one address and one key that never expires.':
    '选择提供方，并在其页面上授权一次。之后应用只需一个地址和一个永不过期的密钥。',
  'Everything is connected. Nothing needs you.': '一切正常，无需处理。',
  '{n} accounts need a person': '{n} 个账号需要处理',
  'Needs a person': '需要处理',
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

  // states
  Active: '正常',
  Disabled: '已停用',
  Refreshing: '刷新中',
  'Waiting to retry': '等待重试',
  Uncertain: '状态不确定',
  'Login needed': '需要登录',
  'Not connected': '未连接',
  'Provider file missing': '缺少提供方文件',
  'Does not expire': '不会过期',
  'Not known': '未知',
  'Expires {time}': '{time}过期',
  'Expired {time}': '已于{time}过期',
  'Refreshed {time}': '{time}刷新',
  Refreshed: '已刷新',
  'Connected again': '已重新连接',
  'Expires soon': '即将过期',
  'Nothing has happened yet.': '暂无记录。',

  // one account
  Provider: '提供方',
  Token: '令牌',
  'Last refresh': '上次刷新',
  'Base URL': '接口地址',
  Scope: '权限范围',
  Fingerprint: '指纹',
  Created: '创建时间',
  Test: '测试',
  'Refresh now': '立即刷新',
  'Log in again': '重新登录',
  'Enter the key': '填写密钥',
  Disable: '停用',
  Enable: '启用',
  'Delete {name}?': '删除 {name}？',
  'Its tokens are erased and calls that use it fail. This cannot be undone.':
    '其令牌将被清除，使用它的调用将失败。此操作无法撤销。',
  'The token was refreshed.': '令牌已刷新。',
  '{name} is connected again.': '{name} 已重新连接。',
  'New API key': '新的 API 密钥',
  'New access token': '新的访问令牌',
  Login: '登录',
  Expiry: '有效期',
  Refresh: '刷新',
  Address: '地址',
  'One token': '单令牌调用',
  Check: '检查',
  Requests: '请求数',

  // connect
  'All providers': '全部提供方',
  'Log in with a code': '验证码登录',
  'API key': 'API 密钥',
  'Web session': '网页会话',
  'Client credentials': '客户端凭据',
  'Access token': '访问令牌',
  Connect: '连接',
  'Enter a model to test with.': '请填写用于测试的模型。',
  '{name} is connected.': '{name} 已连接。',
  'Try it at once, or make a key for an app.': '立即试用，或为应用创建密钥。',
  'Open the playground': '打开试用页面',
  'Create a key': '创建密钥',

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
  'Choose at least one account.': '请至少选择一个账号。',
  '{n} more; narrow the search': '另有 {n} 个，请缩小查找范围',
  'Your new key: {name}': '新密钥：{name}',
  'Copy it now. It is stored as a digest only and cannot be shown again.':
    '请立即复制。系统只保存其摘要，之后无法再次显示。',
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
  '{n} accounts need a person': '{n} account needs a person',
  '{n} errors': '{n} error',
  '{n} accounts': '{n} account',
}

/** In the chosen language, with its values in place. */
export function t(text: Text, values: Readonly<Record<string, string | number>> = {}): string {
  const english = String(values['n']) === '1' ? (SINGULAR[text] ?? text) : text
  const said: string = language() === 'zh' ? CHINESE[text] : english
  return said.replace(/\{(\w+)\}/g, (all, name: string) => String(values[name] ?? all))
}
