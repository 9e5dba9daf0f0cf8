import t from 'tap'
import { readConfig } from '../../src/settings/config.ts'
import { accessTo } from '../../src/upstream/access.ts'

const { providers } = readConfig({ DATA_DIR: t.testdir() })

/** Where a POST goes, and the header that shows the key, without the rest of its value. */
function wayOf(name: string, target: string): [url: string, shownIn: string] {
  const provider = providers.get(name)
  if (!provider) throw new Error(`there is no ${name}`)
  const access = accessTo(provider, { token: 'KEY', resourceUrl: undefined, baseUrl: '' })
  const { origin, path, headers } = access.request({ method: 'POST', target, headers: {}, body: null })
  const at = headers.findIndex((text, index) => index % 2 === 1 && text.includes('KEY'))
  return [origin + path, `${headers[at - 1]}: ${headers[at]}`]
}

const BEARER = 'authorization: Bearer KEY'
const BARE = 'x-api-key: KEY'
/** Of Model Studio. */
const MODEL_STUDIO = 'aliyuncs.com'

const CALLS: Readonly<Record<string, [completions: string, messages: string, messagesShow?: string]>> = {
  anthropic: ['https://api.anthropic.com/v1', 'https://api.anthropic.com/v1', BARE],
  'coding-plan': [
    `https://coding.dashscope.${MODEL_STUDIO}/v1`,
    `https://coding.dashscope.${MODEL_STUDIO}/apps/anthropic/v1`,
  ],
  'coding-plan-intl': [
    `https://coding-intl.dashscope.${MODEL_STUDIO}/v1`,
    `https://coding-intl.dashscope.${MODEL_STUDIO}/apps/anthropic/v1`,
  ],
  dashscope: [
    `https://dashscope.${MODEL_STUDIO}/compatible-mode/v1`,
    `https://dashscope.${MODEL_STUDIO}/apps/anthropic/v1`,
  ],
  'dashscope-intl': [
    `https://dashscope-intl.${MODEL_STUDIO}/compatible-mode/v1`,
    `https://dashscope-intl.${MODEL_STUDIO}/apps/anthropic/v1`,
  ],
  'dashscope-us': [
    `https://dashscope-us.${MODEL_STUDIO}/compatible-mode/v1`,
    `https://dashscope-us.${MODEL_STUDIO}/apps/anthropic/v1`,
  ],
  'dashscope-hk': [
    `https://cn-hongkong.dashscope.${MODEL_STUDIO}/compatible-mode/v1`,
    `https://cn-hongkong.dashscope.${MODEL_STUDIO}/apps/anthropic/v1`,
  ],
  deepseek: ['https://api.deepseek.com/v1', 'https://api.deepseek.com/anthropic/v1', BARE],
  moonshot: ['https://api.moonshot.ai/v1', 'https://api.moonshot.ai/anthropic/v1'],
  'moonshot-cn': ['https://api.moonshot.cn/v1', 'https://api.moonshot.cn/anthropic/v1'],
  openrouter: ['https://openrouter.ai/api/v1', 'https://openrouter.ai/api/v1'],
}

t.test('completions and messages go where the vendors say, with the key where they want it', async (t) => {
  for (const [name, [completions, messages, shown = BEARER]] of Object.entries(CALLS)) {
    const general = name === 'anthropic' ? BARE : BEARER
    t.same(wayOf(name, '/v1/chat/completions'), [`${completions}/chat/completions`, general], name)
    t.same(wayOf(name, '/v1/messages'), [`${messages}/messages`, shown], name)
    t.same(wayOf(name, '/v1/messages/count_tokens?beta=true'), [
      `${messages}/messages/count_tokens?beta=true`,
      shown,
    ])
  }
})
