/** Mistakes that show only when a credential meets its provider file. Those in the file itself: test/base. */
import t from 'tap'
import { call, startBroker } from '../support/broker.ts'
import { CONFIGS, keyConfig, OAUTH_TOKEN, oauthConfig, start } from './fixtures/management.ts'

t.test('a key of another plan is refused with the way to the right one', async (t) => {
  const broker = await start(t)
  const rows: [provider: string, api_key: string, message: RegExp][] = [
    ['dashscope', 'sk-sp-0123456789', /api_key is not a key of DashScope, China.*: .*coding-plan/],
    ['dashscope-intl', 'sk-sp-0123456789', /api_key is not a key of DashScope.*: .*coding-plan/],
    ['dashscope-us', 'sk-sp-0123456789', /api_key is not a key of DashScope.*: .*coding-plan/],
    ['dashscope-hk', 'sk-sp-0123456789', /api_key is not a key of DashScope.*: .*coding-plan/],
    ['coding-plan', 'sk-0123456789', /api_key is not a key of Coding Plan.*: .*dashscope/],
    ['coding-plan-intl', 'sk-0123456789', /api_key is not a key of Coding Plan.*: .*dashscope/],
  ]
  for (const [provider, api_key, message] of rows) {
    const fields = { provider, base_url: undefined, api_key }
    const answer = await broker.admin('POST', CONFIGS, keyConfig('a', fields))
    t.match(answer, { status: 422, body: { code: 'invalid_request', message } }, provider)
    t.notMatch(JSON.stringify(answer.body), api_key, 'without the key')
  }
})

t.test('a token for a host outside the list is refused with the list to add it to', async (t) => {
  const broker = await start(t)
  const rows: [resource_url: string, message: RegExp][] = [
    [
      'evil.example',
      /: oauth_token\.resource_url names evil\.example, which is not in .*providers\/qwen\.yaml: upstream\.resource_hosts; if you trust it, add it there$/,
    ],
    ['http://portal.qwen.ai', /: oauth_token\.resource_url must be https$/],
    ['me@portal.qwen.ai', /: oauth_token\.resource_url must not hold a user name or password$/],
    ['portal qwen ai', /: oauth_token\.resource_url must be a plain address$/],
  ]
  for (const [resource_url, message] of rows) {
    const body = oauthConfig('a', { oauth_token: { ...OAUTH_TOKEN, resource_url } })
    t.match(await broker.admin('POST', CONFIGS, body), { status: 422, body: { message } }, resource_url)
  }
})

t.test('a login for such a host is kept, and its calls fail with that line in the log', async (t) => {
  const broker = await startBroker(t, { sandbox: { resourceUrl: 'evil.example' } })
  const { key } = await broker.connect()
  const body = { model: 'sandbox-model', messages: [] }
  const answer = await call(`${broker.origin}/v1/chat/completions`, 'POST', body, key)
  t.match(answer, { status: 502, body: { error: { code: 'upstream_not_allowed' } } })
  const line =
    /resource_url names evil\.example, which is not in .*sandbox\.yaml: upstream\.resource_hosts; if you/
  t.match(broker.log.join(''), line)
  t.notMatch(JSON.stringify(answer.body), /sandbox\.yaml/, 'the client need not know where')
})
