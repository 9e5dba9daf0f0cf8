/** From a config without a login to streamed completions, refreshes and the end, whichever replica the browser meets. */
import OpenAI from 'openai'
import t from 'tap'
import { onEachDatabase } from '../support/databases.ts'
import { STREAMED } from '../support/strict-token-endpoint.ts'
import { approve, CALLBACK, CONFIGS, comeBack, openCodeStage } from './fixtures/code-login.ts'

onEachDatabase(
  t,
  'a browser logs an account in at one replica and comes back to another',
  async (t, database) => {
    const { server, broker, replica, account, begin, standing, credential } = await openCodeStage(t, database)
    const other = await replica()
    const id = await account()
    t.match(await credential(id), { kind: 'authorization_code', state: 'missing', next_action: 'login' })

    const begun = await begin(id)
    t.match(begun.body, { redirect_uri: CALLBACK, callback: true, paste: true, expires_in: 600, interval: 2 })
    const asked = new URL(begun.body.authorization_url).searchParams
    t.match(Object.fromEntries(asked), { response_type: 'code', scope: 'models', prompt: 'consent' })
    t.match(
      begun.setCookie,
      /^token_broker_login_[0-9a-f]{12}=[\w-]{43}; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax$/,
    )
    t.match(await standing(begun), { status: 200, body: { status: 'pending', retry_after: 2_000 } })

    const page = await comeBack(other, await approve(begun), begun.cookie)
    t.match(page, { status: 200, body: /<title>Connected<\/title>/ })
    t.match(page.headers.get('content-security-policy'), /^default-src 'none'/)
    t.match(page.headers.get('set-cookie'), /^token_broker_login_[0-9a-f]{12}=; Path=\/; Max-Age=0/)
    t.match(await standing(begun), { status: 200, body: { status: 'success' } })
    t.match(await credential(id), { state: 'active', next_action: 'none', scope: 'models' })
    t.same(server.complaints, [])
    t.equal(server.asked.length, 1)

    const { key } = (await broker.admin('POST', '/api/keys', { name: 'k', model_config_ids: [id] })).body
    const complete = async ({ origin } = broker) => {
      const openai = new OpenAI({ baseURL: `${origin}/v1`, apiKey: key, maxRetries: 0 })
      const messages = [{ role: 'user' as const, content: '你好' }]
      const words: (string | null | undefined)[] = []
      for await (const chunk of await openai.chat.completions.create({ model: 'm', messages, stream: true }))
        words.push(chunk.choices[0]?.delta.content)
      return words
    }
    t.same(await complete(), STREAMED)
    server.good.clear()
    t.same(await complete(other), STREAMED, 'renewed like any login')
    t.same(
      server.asked.map((form) => form.get('grant_type')),
      ['authorization_code', 'refresh_token'],
    )

    t.equal((await broker.admin('DELETE', `${CONFIGS}/${id}`)).status, 204)
    t.match(server.revoked, [/^refresh-token-/])
    t.same(server.complaints, [])
  },
)
