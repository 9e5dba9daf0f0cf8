import t from 'tap'
import { ask } from './fixtures/client.ts'
import { addConfig, addKey, setUp } from './fixtures/upstream.ts'

t.test('a Location below the base URL comes back as a path of ours', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  const { origin } = upstream
  const own: [location: string, expected: string][] = [
    [`${origin}/base/v1/files/`, '/v1/files/'],
    [`${origin}/base/v1`, '/v1'],
    ['/base/v1/files/f-1?x=%2F&y=1#part', '/v1/files/f-1?x=%2F&y=1#part'],
    ['files/', '/v1/files/'],
    ['?page=2', '/v1/files?page=2'],
    ['../v1/models', '/v1/models'],
    [`//${new URL(origin).host}/base/v1/x`, '/v1/x'],
    [`${origin.replace('http:', 'https:')}/base/v1/x`, '/v1/x'],
  ]
  for (const [location, expected] of own) {
    for (const status of [201, 202, 301, 302, 303, 307, 308]) {
      upstream.answer((_, response) => response.writeHead(status, { location }).end('{"a":1}'))
      const answer = await ask(`${v1}/files?a=b`, { key })
      t.match(answer, { status, headers: { location: expected } }, `${status} ${location}`)
      t.equal(answer.body.toString(), '{"a":1}')
    }
  }
})

t.test(
  'a redirect elsewhere is an error; an address elsewhere is left out of what is no redirect',
  async (t) => {
    const { upstream, key, v1 } = await setUp(t)
    const elsewhere = [
      'https://evil.example/base/v1/files',
      '//evil.example/base/v1',
      `http://user@${new URL(upstream.origin).host}/base/v1/x`,
      '/login',
      '/base/v1/../../login',
      '/base/v10/files',
      '/v1/files',
      'javascript:alert(1)',
      'http://[',
      '',
    ]
    for (const location of elsewhere) {
      for (const status of [301, 302, 303, 307, 308]) {
        upstream.answer((_, response) => response.writeHead(status, { location }).end('somewhere else'))
        const answer = await ask(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })
        if (location === '') {
          t.match(answer, { status, headers: { location: '/v1/chat/completions' } }, 'the same place')
          continue
        }
        t.equal(answer.status, 502, `${status} ${location}`)
        t.match(JSON.parse(answer.body.toString()), { error: { code: 'upstream_redirected' } })
        t.notOk('location' in answer.headers)
      }
      if (location === '') continue
      for (const status of [200, 201, 404]) {
        upstream.answer((_, response) => response.writeHead(status, { location }).end('made'))
        const answer = await ask(`${v1}/files`, { key, body: {} })
        t.equal(answer.status, status)
        t.notOk('location' in answer.headers, `${status} ${location}`)
      }
    }
    upstream.answer((_, response) => response.writeHead(302).end('no address at all'))
    t.equal((await ask(`${v1}/files`, { key })).status, 302)
  },
)

t.test('where one config redirects elsewhere the next one is asked', async (t) => {
  const { broker, upstream, configId } = await setUp(t)
  const other = await addConfig(broker, { name: 'other', models: ['model-a'] })
  const key = await addKey(broker, { model_config_ids: [configId, other] })
  upstream.answer((_, response) => {
    if (upstream.calls.length === 1) response.writeHead(302, { location: 'https://evil.example/' }).end()
    else response.end('{}')
  })
  const answer = await ask(`${broker.origin}/v1/chat/completions`, { key, body: { model: 'model-a' } })
  t.equal(answer.status, 200)
  t.match(answer.headers['x-token-broker-trace'], 'failover=main%3Aupstream_redirected')
})
