/** Everything the element says, English → Chinese. */
const CHINESE = {
  'Connect {name}': '连接 {name}',
  'You get a code, approve it on the provider’s page, and are done.':
    '获取验证码，在提供方页面上确认，即可完成连接。',
  'Get a code': '获取验证码',
  'Getting a code …': '正在获取验证码…',
  'You log in on the provider’s page, and are done.': '在提供方页面上登录，即可完成连接。',
  'Log in': '登录',
  'One moment …': '请稍候…',
  'Log in at the provider': '在提供方页面登录',
  'Open the login page': '打开登录页面',
  'Log in there and agree. This page goes on by itself.': '请在那里登录并同意授权，此页面会自动继续。',
  'It did not come back here?': '登录后没有自动返回？',
  'Copy the whole address of the page where the login ended, even if that page shows an error.':
    '请复制登录结束时所在页面的完整地址，即使该页面显示错误。',
  'Address of that page': '该页面的地址',
  'Finish the login': '完成登录',
  'Your code': '您的验证码',
  Copy: '复制',
  Copied: '已复制',
  'Copy the code': '复制验证码',
  'Open the approval page': '打开授权页面',
  'opens in a new tab': '在新标签页中打开',
  'Check that the page shows this code, then approve.': '请确认页面显示的验证码一致，然后授权。',
  'Or scan with a phone': '或用手机扫码',
  'QR code of the approval page': '授权页面的二维码',
  'Waiting for your approval': '等待授权中',
  '{time} left': '剩余 {time}',
  Cancel: '取消',
  Connected: '已连接',
  '{name} is connected.': '{name} 已连接。',
  'You refused the approval': '您已拒绝授权',
  'Nothing was connected. You can start again any time.': '未建立任何连接，您可以随时重新开始。',
  'The code has expired': '验证码已过期',
  'It was not approved in time. Get a new one.': '未在有效期内完成授权，请重新获取。',
  'Too many tries': '尝试次数过多',
  'Please wait {seconds} s, then try again.': '请等待 {seconds} 秒后重试。',
  'That did not work': '连接失败',
  'The broker cannot be reached. Check the connection and try again.': '无法连接服务，请检查网络后重试。',
  'Try again': '重试',
} as const

export type ElementText = keyof typeof CHINESE
export type Language = 'en' | 'zh'

export function say(
  language: Language,
  text: ElementText,
  values: Record<string, string | number> = {},
): string {
  const said: string = language === 'zh' ? CHINESE[text] : text
  return said.replace(/\{(\w+)\}/g, (all, name: string) => String(values[name] ?? all))
}

/** `zh`, `zh-CN`, `zh-Hant` … are Chinese; anything else is English. */
export function languageOf(tag: string | null | undefined): Language | undefined {
  if (!tag) return undefined
  return /^zh\b/i.test(tag) ? 'zh' : 'en'
}
