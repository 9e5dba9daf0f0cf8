import t from 'tap'
import { call } from '../support/broker.ts'
import { CONFIGS, create, KEYS, keyConfig, OAUTH_TOKEN, oauthConfig, start } from './fixtures/management.ts'

t.test('a config that cannot be', async (t) => {
  const broker = await start(t)
  const mistakes: [body: unknown, field: RegExp][] = [
    [undefined, /the body/],
    [{}, /needs .*name/],
    [[], /object/],
    ['"text"', /object/],
    [keyConfig(''), /name/],
    [keyConfig('   '), /name/],
    [keyConfig('a\nb'), /name/],
    [keyConfig('a\u001b[2J'), /name/],
    [keyConfig('\u007f'), /name/],
    [keyConfig('x'.repeat(256)), /name/],
    [keyConfig('a', { name: 7 }), /name/],
    [keyConfig('a', { provider: 'nobody' }), /provider must be one of .*qwen/],
    [keyConfig('a', { models: 'model-a' }), /models/],
    [keyConfig('a', { models: [{}] }), /models\.0 needs model_id/],
    [keyConfig('a', { models: [{ model_id: '' }] }), /models\.0\.model_id/],
    [keyConfig('a', { models: [{ model_id: 'a', vision: true }] }), /models\.0\.vision is not a known name/],
    [keyConfig('a', { models: Array(501).fill({ model_id: 'a' }) }), /models/],
    [keyConfig('a', { is_active: 'yes' }), /is_active/],
    [keyConfig('a', { is_active: 1 }), /is_active/],
    [keyConfig('a', { api_key: undefined }), /api_key is needed/],
    [keyConfig('a', { api_key: '' }), /api_key is needed/],
    [keyConfig('a', { api_key: 'sk with space' }), /api_key/],
    [keyConfig('a', { api_key: 'sk-\r\nX-Evil: 1' }), /api_key/],
    [keyConfig('a', { api_key: 'k'.repeat(32_769) }), /api_key/],
    [keyConfig('a', { base_url: 'models.example/v1' }), /base_url/],
    [keyConfig('a', { base_url: 'http://models.example/v1' }), /base_url/],
    [keyConfig('a', { base_url: 'http://127.0.0.1:1/v1' }), /base_url/],
    [keyConfig('a', { base_url: 'https://me:pw@models.example/v1' }), /base_url/],
    [keyConfig('a', { base_url: 'https://models.example/v1?x=1' }), /base_url/],
    [keyConfig('a', { base_url: 'file:///etc/passwd' }), /base_url/],
    [keyConfig('a', { base_url: null }), /base_url/],
    [keyConfig('a', { oauth_token: OAUTH_TOKEN }), /oauth_token is not for providers of keys/],
    [keyConfig('a', { extra: 1 }), /extra is not a known name; known here: .*name/],
    [oauthConfig('a', { oauth_token: {} }), /oauth_token/],
    [oauthConfig('a', { oauth_token: { ...OAUTH_TOKEN, access_token: 'a b' } }), /oauth_token/],
    [oauthConfig('a', { oauth_token: { ...OAUTH_TOKEN, access_token: 'a\r\nb' } }), /oauth_token/],
    [oauthConfig('a', { oauth_token: { ...OAUTH_TOKEN, expires_at: 'soon' } }), /oauth_token/],
    [oauthConfig('a', { oauth_token: { ...OAUTH_TOKEN, expires_at: -1 } }), /oauth_token/],
    [
      oauthConfig('a', { oauth_token: { ...OAUTH_TOKEN, resource_url: 'evil.com' } }),
      /oauth_token\.resource_url/,
    ],
    [oauthConfig('a', { oauth_session_id: 'x' }), /oauth_token and oauth_session_id exclude/],
  ]
  for (const [body, field] of mistakes) {
    const answer = await broker.admin('POST', CONFIGS, body)
    const what = JSON.stringify(body)?.slice(0, 80)
    t.equal(answer.status, 422, what)
    t.match(answer.body, { code: 'invalid_request', detail: /请求参数无效：/, message: field }, what)
  }
  t.equal((await broker.admin('GET', CONFIGS)).body.total, 0)
})

t.test('a change that cannot be', async (t) => {
  const broker = await start(t)
  const { id } = await create(broker, keyConfig('a'))
  const oauth = await create(broker, oauthConfig('b'))
  const mistakes: [id: string, body: unknown, field: RegExp][] = [
    [id, undefined, /the body/],
    [id, { provider: 'qwen' }, /provider cannot be changed/],
    [id, { name: '' }, /name/],
    [id, { base_url: 'http://models.example' }, /base_url/],
    [id, { oauth_token: OAUTH_TOKEN }, /oauth_token/],
    [id, { updated_at: 'now' }, /updated_at/],
    [id, { id: 'other' }, /id is not a known name/],
    [
      oauth.id,
      { oauth_token: { ...OAUTH_TOKEN, resource_url: 'https://portal.qwen.ai.evil.com' } },
      /resource_url/,
    ],
  ]
  for (const [target, body, field] of mistakes) {
    const answer = await broker.admin('PUT', `${CONFIGS}/${target}`, body)
    t.match(answer, { status: 422, body: { code: 'invalid_request', message: field } }, JSON.stringify(body))
  }
  for (const query of ['', '?is_active=', '?is_active=maybe', '?is_active=true&is_active=false']) {
    const answer = await broker.admin('PATCH', `${CONFIGS}/${id}/status${query}`)
    t.match(answer, { status: 422, body: { message: /is_active/ } }, query)
  }
  t.equal((await broker.admin('GET', `${CONFIGS}/${id}`)).body.name, 'a')
})

t.test('a key that cannot be', async (t) => {
  const broker = await start(t)
  const mistakes: [body: unknown, field: RegExp][] = [
    [undefined, /the body/],
    [{}, /needs name/],
    [{ name: '' }, /name/],
    [{ name: 'k', model_config_ids: 'all' }, /model_config_ids/],
    [{ name: 'k', model_config_ids: [7] }, /model_config_ids/],
    [{ name: 'k', model_config_ids: ['a', 'a'] }, /model_config_ids/],
    [{ name: 'k', models: [''] }, /models/],
    [{ name: 'k', requests_per_minute: 0 }, /requests_per_minute/],
    [{ name: 'k', requests_per_minute: 1.5 }, /requests_per_minute/],
    [{ name: 'k', expires_at: '2030-01-01' }, /expires_at/],
    [{ name: 'k', key: 'sk-tb-mine' }, /key is not a known name/],
  ]
  for (const [body, field] of mistakes) {
    const answer = await broker.admin('POST', KEYS, body)
    t.match(answer, { status: 422, body: { code: 'invalid_request', message: field } }, JSON.stringify(body))
  }
  t.equal((await broker.admin('GET', KEYS)).body.total, 0)
})

t.test('what is no JSON, or not sent as JSON', async (t) => {
  const broker = await start(t)
  const post = async (body: string, type: string) => {
    const headers = { authorization: `Bearer ${broker.adminToken}`, 'content-type': type }
    const answer = await fetch(broker.origin + CONFIGS, { method: 'POST', headers, body })
    return { status: answer.status, body: await answer.json() }
  }
  for (const body of [
    '{',
    '{"a":1',
    "{'a':1}",
    'null x',
    '{"__proto__":{"x":1}}',
    '{"constructor":{"prototype":{}}}',
  ]) {
    t.match(await post(body, 'application/json'), { status: 400, body: { code: 'malformed_request' } }, body)
  }
  t.match(await post('a=b', 'application/x-www-form-urlencoded'), {
    status: 415,
    body: { code: 'unsupported_media_type' },
  })
  t.match(await post('{}', 'text/plain'), { status: 415 })
  t.match(await post('{}', 'text/plain; application/json'), { status: 415 })
  const large = JSON.stringify({ name: 'x'.repeat(2 * 1024 * 1024) })
  t.match(await post(large, 'application/json'), { status: 413, body: { code: 'request_too_large' } })
})

t.test('ids that are none', async (t) => {
  const broker = await start(t)
  for (const id of [
    'nope',
    '00000000-0000-0000-0000-000000000000',
    '%00',
    "'%20or%201=1",
    '%F0%9F%94%91',
    '..%2f',
  ]) {
    for (const path of [`${CONFIGS}/${id}`, `${KEYS}/${id}`]) {
      const answer = await broker.admin('DELETE', path)
      t.match(answer, { status: 404, body: { code: /_not_found$/ } }, path)
    }
  }
  t.equal((await broker.admin('GET', `${CONFIGS}/${'x'.repeat(65)}`)).status, 422)
  const unknown = await call(`${broker.origin}/api/nothing`, 'GET')
  t.match(unknown, { status: 404, body: { code: 'not_found', detail: /./ } })
})
