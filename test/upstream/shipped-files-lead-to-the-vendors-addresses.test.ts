import t from 'tap'
import { withInputs } from '../../src/provider/provider.ts'
import { readConfig } from '../../src/settings/config.ts'
import { accessTo } from '../../src/upstream/access.ts'

const { providers } = readConfig({ DATA_DIR: t.testdir() })

/** Where a POST goes, and the header that shows the key, without the rest of its value. */
function wayOf(name: string, target: string): [url: string, shownIn: string] {
  const file = providers.get(name)
  if (!file) throw new Error(`there is no ${name}`)
  const provider = withInputs(file, new Map(Object.entries(INPUTS[name] ?? {})))
  t.same(provider.lacking, [])
  const awsKeys = provider.awsSigV4?.keys
  const access = accessTo(provider, { token: 'KEY', awsKeys, resourceUrl: undefined, baseUrl: '' })
  const { origin, path, headers } = access.request({ method: 'POST', target, headers: {}, body: null })
  const at = headers.findIndex((text, index) => index % 2 === 1 && /KEY|Credential=/.test(text))
  const shown = headers[at]?.replace(/\/\d{8}\/|, SignedHeaders.*/g, (text) =>
    text.startsWith('/') ? '/DAY/' : '',
  )
  return [origin + path, `${headers[at - 1]}: ${shown}`]
}

/** What an account says for itself. */
const KEYS = { access_key_id: 'AKIAIOSFODNN7EXAMPLE', secret_access_key: 'secret' }
const INPUTS: Readonly<Record<string, Record<string, string>>> = {
  'azure-openai-key': { resource: 'my-resource' },
  bedrock: { region: 'eu-west-1', ...KEYS },
  'bedrock-key': { region: 'us-gov-west-1' },
  'bedrock-runtime': { region: 'us-east-1', ...KEYS },
}

const BEARER = 'authorization: Bearer KEY'
const BARE = 'x-api-key: KEY'
/** Of Model Studio. */
const MODEL_STUDIO = 'aliyuncs.com'

function signedFor(place: string): string {
  return `authorization: AWS4-HMAC-SHA256 Credential=${KEYS.access_key_id}/DAY/${place}/aws4_request`
}

/** Where the general header is another one. */
const SHOWN: Readonly<Record<string, string>> = {
  anthropic: BARE,
  'azure-openai-key': 'api-key: KEY',
  bedrock: signedFor('eu-west-1/bedrock-mantle'),
  'bedrock-runtime': signedFor('us-east-1/bedrock'),
}

const CALLS: Readonly<Record<string, [completions: string, messages: string, messagesShow?: string]>> = {
  'azure-openai-key': [
    'https://my-resource.openai.azure.com/openai/v1',
    'https://my-resource.services.ai.azure.com/anthropic/v1',
    BARE,
  ],
  bedrock: [
    'https://bedrock-mantle.eu-west-1.api.aws/openai/v1',
    'https://bedrock-mantle.eu-west-1.api.aws/anthropic/v1',
  ],
  'bedrock-key': [
    'https://bedrock-mantle.us-gov-west-1.api.aws/openai/v1',
    'https://bedrock-mantle.us-gov-west-1.api.aws/anthropic/v1',
  ],
  'bedrock-runtime': [
    'https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1',
    'https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1',
  ],
  'volcengine-ark': ['https://ark.cn-beijing.volces.com/api/v3', 'https://ark.cn-beijing.volces.com/api/v3'],
  qianfan: ['https://qianfan.baidubce.com/v2', 'https://qianfan.baidubce.com/v2'],
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
  'huawei-maas': ['https://api.modelarts-maas.com/v2', 'https://api.modelarts-maas.com/v2'],
  openrouter: ['https://openrouter.ai/api/v1', 'https://openrouter.ai/api/v1'],
}

t.test('completions and messages go where the vendors say, with the key where they want it', async (t) => {
  for (const [name, [completions, messages, own]] of Object.entries(CALLS)) {
    const general = SHOWN[name] ?? BEARER
    const shown = own ?? general
    t.same(wayOf(name, '/v1/chat/completions'), [`${completions}/chat/completions`, general], name)
    t.same(wayOf(name, '/v1/messages'), [`${messages}/messages`, shown], name)
    t.same(wayOf(name, '/v1/messages/count_tokens?beta=true'), [
      `${messages}/messages/count_tokens?beta=true`,
      shown,
    ])
  }
})
