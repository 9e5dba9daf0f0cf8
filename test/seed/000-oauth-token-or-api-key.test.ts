import { requirement } from './requirement.ts'
import { qwenAtTheSandbox } from './stage.ts'

const EXPIRED = {
  status: 401,
  body: { detail: 'Your session has expired, or the token is no longer valid.' },
}

requirement('OAuth token or API key (seed 000)', {
  'an OAuth token goes to its resource_url, /v1 added': async (t, open) => {
    const { broker, logIn, createConfig, createKey, complete } = await open({
      config: qwenAtTheSandbox({ upstream: { resource_hosts: ['{host}'] } }),
    })
    const { token } = await logIn()
    for (const resource_url of ['', '/', '/v1', '/v1/']) {
      const name = `资源 ${resource_url}`
      const expires_at = Date.now() + 3_600_000 // not to be refreshed: four configs share one login here
      const oauth_token = { ...token, expires_at, resource_url: broker.sandbox.origin + resource_url }
      const config = await createConfig({ name, oauth_token, models: [{ model_id: 'sandbox-model' }] })
      t.equal(config.status, 201)
      t.equal((await complete(await createKey())).status, 200)
      t.equal(broker.sandbox.counts.lastUpstreamRequest?.url, '/v1/chat/completions')
      await broker.admin('PATCH', `/api/models/configs/${config.body.id}/status?is_active=false`)
    }
  },

  'and never to DashScope or anywhere else that is not in resource_hosts': async (t, open) => {
    const { logIn, createConfig } = await open()
    const { token } = await logIn()
    for (const resource_url of [
      'dashscope.aliyuncs.com',
      'https://dashscope.aliyuncs.com/compatible-mode/v1',
      'portal.qwen.ai.evil.example',
      'https://portal.qwen.ai@evil.example/',
      'http://portal.qwen.ai',
    ]) {
      const answer = await createConfig({ name: resource_url, oauth_token: { ...token, resource_url } })
      t.match(
        answer,
        { status: 422, body: { code: 'invalid_request', message: /resource_url/ } },
        resource_url,
      )
    }
  },

  'an API key goes to the base URL of its config, behind the same broker key': async (t, open) => {
    const { broker, logIn, createConfig, createKey, complete } = await open()
    const { token } = await logIn() // the sandbox takes its access tokens for keys
    const config = await createConfig({
      provider: 'openai',
      base_url: `${broker.sandbox.origin}/v1`,
      api_key: token.access_token,
    })
    t.equal(config.status, 201)
    t.match(config.body.credential, { kind: 'api_key', state: 'active' })
    t.equal((await complete(await createKey())).status, 200)
    const { headers } = broker.sandbox.counts.lastUpstreamRequest ?? {}
    t.equal(headers?.authorization, `Bearer ${token.access_token}`)
  },

  '"Your session has expired": the token is refreshed once and the call sent again': async (t, open) => {
    const { broker, logIn, createConfig, createKey, complete } = await open()
    await createConfig({ oauth_session_id: (await logIn()).session_id })
    const key = await createKey()
    broker.sandbox.faults.next('upstream', EXPIRED)
    const answer = await complete(key)
    t.equal(answer.status, 200)
    t.match(answer.headers.get('x-token-broker-trace'), /attempt=2/)
    t.equal(broker.sandbox.counts.refreshGrants, 1)
  },

  'a fresh token that is refused too is no reason to log in again, nor to go round in circles': async (
    t,
    open,
  ) => {
    const { broker, logIn, createConfig, createKey, complete } = await open()
    const { id } = (await createConfig({ oauth_session_id: (await logIn()).session_id })).body
    const key = await createKey()
    broker.sandbox.faults.next('upstream', EXPIRED, 10)
    for (let i = 0; i < 3; i += 1)
      t.match(await complete(key), EXPIRED, "upstream's own answer comes through")
    t.equal(broker.sandbox.counts.refreshRequests, 1)
    const item = await broker.admin('GET', `/api/models/configs/${id}`)
    t.equal(item.body.credential.state, 'active')
  },

  'GET /v1/models is answered from the config, for portal.qwen.ai has no such list': async (t, open) => {
    const { broker, logIn, createConfig, createKey } = await open()
    await createConfig({ oauth_session_id: (await logIn()).session_id })
    const response = await fetch(`${broker.origin}/v1/models`, {
      headers: { authorization: `Bearer ${await createKey()}` },
    })
    t.equal(response.status, 200)
    t.match(await response.json(), { object: 'list', data: [{ id: 'sandbox-model', object: 'model' }] })
    t.equal(broker.sandbox.counts.upstreamCalls, 0)
  },
})
