import { requirement } from './requirement.ts'
import { NO_LOGIN } from './stage.ts'

requirement('关联 Token 到模型配置', {
  '创建 Qwen 配置时保存 token': async (t, open) => {
    const { logIn, createConfig, createKey, complete, row } = await open()
    const { token } = await logIn()
    const created = await createConfig({
      oauth_token: token,
      base_url: 'https://x.example/v1',
      api_key: 'sk-x',
    })
    t.equal(created.status, 201)
    t.match(created.body, { provider: 'qwen', base_url: '', credential: { state: 'active' } })
    t.notOk(JSON.stringify(created.body).includes(token.access_token))
    t.match(await row(created.body.id), {
      provider: 'qwen',
      base_url: '',
      api_key: '',
      oauth_access_token: String,
      oauth_refresh_token: String,
      oauth_expires_at: token.expires_at,
    })
    t.equal((await complete(await createKey())).status, 200)

    // The recommended way: by the session, so that the tokens never leave the server.
    const { session_id } = await logIn()
    const bySession = await createConfig({ name: '会话', oauth_session_id: session_id })
    t.equal(bySession.status, 201)
    t.match(await row(bySession.body.id), { base_url: '', api_key: '', oauth_access_token: String })
    t.match(await createConfig({ name: '再次', oauth_session_id: session_id }), {
      status: 404,
      body: { code: 'session_not_found' },
    })
  },

  '删除配置时清除关联 token': async (t, open) => {
    const { broker, logIn, createConfig, createKey, complete, row } = await open()
    const { session_id } = await logIn()
    const { id } = (await createConfig({ oauth_session_id: session_id })).body
    const key = await createKey()
    t.equal((await complete(key)).status, 200)
    t.equal((await broker.admin('DELETE', `/api/models/configs/${id}`)).status, 204)
    t.match(await row(id), NO_LOGIN)
    t.equal((await broker.admin('GET', `/api/models/configs/${id}`)).status, 404)
    t.match(await complete(key), { status: 404, body: { error: { code: 'model_not_found' } } })
    t.equal((await createConfig({})).status, 201, 'the name is free again')
  },
})
