/** A config of each kind of credential, in front of an endpoint that takes no other token, for OpenAI's client. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import OpenAI from 'openai'
import t, { type Test } from 'tap'
import { sessionToken, startOpenWebUi } from '../seed/open-webui.ts'
import { type Broker, call, startBroker } from '../support/broker.ts'
import {
  BROWSER_CLIENT,
  CONFIDENTIAL_CLIENT,
  CONFIDENTIAL_SECRET,
  POSTING_CLIENT,
  PUBLIC_CLIENT,
  SCOPE,
  SIGNING_CLIENT,
  SIGNING_KEY,
  startIndependentServer,
} from '../support/oidc-provider.ts'
import { STREAMED, streamWords } from '../support/strict-token-endpoint.ts'

/** A model endpoint below `/base` that asks `knows` who may use it, and streams its words. */
async function startModel(t: Test, knows: (token: string) => Promise<boolean>): Promise<string> {
  const server = createServer(async (request, response) => {
    for await (const _ of request);
    const token = request.headers.authorization?.replace('Bearer ', '') ?? ''
    if (request.url !== '/base/chat/completions' || !(await knows(token))) {
      response.writeHead(401, { 'content-type': 'application/json' }).end('{"error":{"message":"who?"}}')
      return
    }
    streamWords(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/base`
}

interface Kind {
  /** The provider file without its upstream. */
  readonly file: object
  readonly knows: (token: string) => Promise<boolean>
  /** What a config of this provider needs besides. */
  readonly config?: (broker: Broker) => Promise<object>
  /** Logs the config in once it is there. */
  readonly logIn?: (broker: Broker, id: string) => Promise<void>
}

/** A token for a client of its own; the server knows the ones it gave. */
function machine(way: object): (t: Test) => Promise<Kind> {
  return async (t) => {
    const { issuer, introspect } = await startIndependentServer(t)
    return {
      file: {
        credential: 'client_credentials',
        authorization_server: { issuer, scope: 'model.completion', ...way },
      },
      knows: async (token) => (await introspect(token)).active,
    }
  }
}

const KINDS: Record<string, (t: Test) => Promise<Kind>> = {
  async device_code(t) {
    const server = await startIndependentServer(t)
    return {
      file: {
        credential: 'device_code',
        authorization_server: { issuer: server.issuer, client_id: PUBLIC_CLIENT, scope: SCOPE },
      },
      knows: async (token) => (await server.introspect(token)).active,
      async config({ origin }) {
        const started = (await call(`${origin}/api/p/oauth/device-code`, 'POST')).body
        await server.approve(started.verification_uri_complete)
        await call(`${origin}/api/p/oauth/status?session_id=${started.session_id}`, 'GET')
        return { oauth_session_id: started.session_id }
      },
    }
  },
  async authorization_code(t) {
    const server = await startIndependentServer(t)
    return {
      file: {
        credential: 'authorization_code',
        authorization_server: { issuer: server.issuer, client_id: BROWSER_CLIENT, scope: SCOPE },
      },
      knows: async (token) => (await server.introspect(token)).active,
      async logIn({ admin }, id) {
        const { body, headers } = await admin('POST', `/api/models/configs/${id}/login`)
        const [cookie = ''] = headers.get('set-cookie')?.split(';') ?? []
        t.match(await server.logIn(body.authorization_url, cookie), /<title>Connected<\/title>/)
      },
    }
  },
  'client_credentials by client_secret_basic': machine({
    client_id: CONFIDENTIAL_CLIENT,
    client_secret: CONFIDENTIAL_SECRET,
  }),
  'client_credentials by client_secret_post': machine({
    client_id: POSTING_CLIENT,
    client_secret: CONFIDENTIAL_SECRET,
    client_authentication: 'client_secret_post',
  }),
  'client_credentials by private_key_jwt': machine({
    client_id: SIGNING_CLIENT,
    private_key: SIGNING_KEY.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    client_authentication: 'private_key_jwt',
  }),
  async api_key() {
    const api_key = 'sk-upstream-0123456789'
    return {
      file: { credential: 'api_key' },
      knows: async (token) => token === api_key,
      config: async () => ({ api_key }),
    }
  },
  async session(t) {
    const { origin } = await startOpenWebUi(t, 7)
    const access_token = sessionToken(6)
    return {
      file: { credential: 'session', session: { refresh_endpoint: `${origin}/api/v1/auths/` } },
      knows: async (token) => token === access_token,
      config: async () => ({ oauth_token: { access_token } }),
    }
  },
}

for (const [name, kindOf] of Object.entries(KINDS)) {
  t.test(name, async (t) => {
    const { file, knows, config, logIn } = await kindOf(t)
    const upstream = { base_url: await startModel(t, knows) }
    const broker = await startBroker(t, {
      config: JSON.stringify({ allow_insecure_loopback: true, providers: { p: { ...file, upstream } } }),
    })
    const made = await broker.admin('POST', '/api/models/configs', {
      ...{ name: 'c', provider: 'p', models: [{ model_id: 'm' }] },
      ...(await config?.(broker)),
    })
    t.equal(made.status, 201)
    await logIn?.(broker, made.body.id)
    const key = await broker.admin('POST', '/api/keys', { name: 'k', model_config_ids: [made.body.id] })
    const openai = new OpenAI({ baseURL: `${broker.origin}/v1`, apiKey: key.body.key, maxRetries: 0 })
    const stream = await openai.chat.completions.create({
      model: 'm',
      messages: [{ role: 'user', content: '你好' }],
      stream: true,
    })
    const words: (string | null | undefined)[] = []
    for await (const chunk of stream) words.push(chunk.choices[0]?.delta.content)
    t.same(words, STREAMED)
  })
}
