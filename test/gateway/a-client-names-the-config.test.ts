/** By a header or by its base URL, for HTTP and for WebSockets; and what answers a call that names neither model nor config. */
import { once } from 'node:events'
import t from 'tap'
import { waitUntil } from '../support/wait-until.ts'
import { ask } from './fixtures/client.ts'
import { answerTo, closing, connect, setUpRealtime } from './fixtures/realtime.ts'
import { addConfig, addKey, json, readAll, type Setup, setUp } from './fixtures/upstream.ts'

const HEADER = 'x-token-broker-config'
const NAME = 'team/配置 2'
const ENCODED = encodeURIComponent(NAME)
const IN_UTF8 = Buffer.from(NAME).toString('latin1')

/** `main` at /base/v1, NAME at /second/v1, one that is off, and one of somebody else; a key over the first three. */
async function setUpTwo(t: Parameters<typeof setUp>[0], options: Parameters<typeof setUp>[1] = {}) {
  const setup = await setUp(t, options)
  const { broker, upstream, configId } = setup
  const of = (path: string) => ({ base_url: `${upstream.origin}/${path}/v1` })
  const listed = { models: ['model-a', 'org/b'], aliases: { nick: 'org/b' } }
  const second = await addConfig(broker, { name: NAME, ...listed, ...of('second') })
  const off = await addConfig(broker, { name: 'off', models: ['model-off'], is_active: false })
  await addConfig(broker, { name: 'elsewhere', models: ['model-e'], ...of('elsewhere') })
  const key = await addKey(broker, { model_config_ids: [configId, second, off] })
  return { ...setup, second, key }
}

/** Of upstream's calls: where to, and with which body. */
function watch({ upstream }: Pick<Setup, 'upstream'>): string[] {
  const seen: string[] = []
  upstream.answer(async (request, response) => {
    const body = (await readAll(request)).toString()
    seen.push(`${request.url} ${body}${request.headers[HEADER] === undefined ? '' : ' with the header'}`)
    json(response, { id: 'x' })
  })
  return seen
}

t.test('the config that is named answers, with any model', async (t) => {
  const setup = await setUpTwo(t)
  const seen = watch(setup)
  const cases: [why: string, base: string, header: string | undefined, model: string, expected: string][] = [
    ['nobody is named', '', undefined, 'model-a', '/base/v1/chat/completions {"model":"model-a"}'],
    [
      'by the base URL',
      `/c/${ENCODED}`,
      undefined,
      'model-a',
      '/second/v1/chat/completions {"model":"model-a"}',
    ],
    ['by the header', '', ENCODED, 'model-a', '/second/v1/chat/completions {"model":"model-a"}'],
    ['by the header as it is', '', IN_UTF8, 'model-a', '/second/v1/chat/completions {"model":"model-a"}'],
    ['by both', `/c/${ENCODED}`, IN_UTF8, 'model-a', '/second/v1/chat/completions {"model":"model-a"}'],
    ['an empty header is none', '', '', 'model-a', '/base/v1/chat/completions {"model":"model-a"}'],
    [
      'a model it does not list',
      '/c/main',
      undefined,
      'org/b',
      '/base/v1/chat/completions {"model":"org/b"}',
    ],
    ['its own name again', '', 'main', 'main/x', '/base/v1/chat/completions {"model":"x"}'],
    [
      "another's name is a model's",
      '',
      'main',
      `${NAME}/x`,
      `/base/v1/chat/completions {"model":"${NAME}/x"}`,
    ],
    ['none of this key', '/c/elsewhere', undefined, 'model-a', '404 model_not_found'],
    ['one that is off', '', 'off', 'model-a', '404 model_not_found'],
    ['nobody', '/c/nobody', undefined, 'model-a', '404 model_not_found'],
    ['two', `/c/${ENCODED}`, 'main', 'model-a', '400 malformed_request'],
    ['no percent-encoding', '/c/%ff%zz', undefined, 'model-a', '400 malformed_request'],
  ]
  for (const [why, base, header, model, expected] of cases) {
    const answer = await ask(`${setup.broker.origin}${base}/v1/chat/completions`, {
      key: setup.key,
      body: Buffer.from(JSON.stringify({ model })), // bytes, for Node writes a head together with text as UTF-8
      headers: { 'content-type': 'application/json', ...(header !== undefined && { [HEADER]: header }) },
    })
    const { error } = JSON.parse(answer.body.toString())
    t.equal(error ? `${answer.status} ${error.code}` : seen.at(-1), expected, why)
    if (expected.startsWith('404'))
      t.match(error.message, /the config ".+" was asked for; its active configs are "main", "team\/配置 2"$/)
  }
})

t.test('a call that names no model is for the first active config', async (t) => {
  const setup = await setUpTwo(t)
  const seen = watch(setup)
  const { broker, key, configId, second } = setup
  const others = await addKey(broker, { model_config_ids: [second, configId] })
  const upload = { body: 'abc', headers: { 'content-type': 'application/octet-stream' } }
  t.equal((await ask(`${broker.origin}/v1/files/1`, { key })).status, 200)
  t.equal((await ask(`${broker.origin}/v1/files`, { key: others, ...upload })).status, 200)
  t.equal((await ask(`${broker.origin}/v1/x?model=${ENCODED}%2Forg%2Fb&y=1`, { key })).status, 200)
  t.equal((await ask(`${broker.origin}/c/main/v1/x?model=org/b`, { key: others })).status, 200)
  t.same(seen, [
    '/base/v1/files/1 ',
    '/second/v1/files abc',
    '/second/v1/x?model=org%2Fb&y=1 ',
    '/base/v1/x?model=org/b ',
  ])
})

t.test(
  'of a key over all configs that is the oldest, and never the sandbox while there is another',
  async (t) => {
    const setup = await setUp(t)
    const seen = watch(setup)
    const { broker, configId } = setup
    await broker.admin('DELETE', `/api/models/configs/${configId}`)
    await broker.connect('practice')
    const key = await addKey(broker)
    await addConfig(broker, { name: 'younger' })
    await addConfig(broker, { name: 'youngest', base_url: `${setup.upstream.origin}/second/v1` })
    await waitUntil(async () => (await ask(`${setup.v1}/files/1`, { key })).status === 200)
    t.same(seen, ['/base/v1/files/1 '])
  },
)

t.test('models are those of the config that is named, and each is found alone', async (t) => {
  const { broker, upstream, key, configId, second } = await setUpTwo(t)
  const limited = await addKey(broker, { model_config_ids: [second, configId], models: ['org/b', 'model-z'] })
  const one = await addKey(broker, { model_config_ids: [second] })
  const ids = async (path: string, with_: string) => {
    const answer = await ask(broker.origin + path, { key: with_ })
    const { data, id, object, created, owned_by, error } = JSON.parse(answer.body.toString())
    return data
      ? data.map((model: { id: string }) => model.id)
      : (error?.code ?? [id, object, created, owned_by])
  }
  const cases: [path: string, key: string, expected: unknown][] = [
    ['/v1/models', key, ['model-a', 'nick', 'org/b']],
    ['/v1/models/nick', key, ['nick', 'model', 0, NAME]],
    ['/v1/models/nick', limited, 'model_not_found'],
    ['/c/main/v1/models/model-a', key, undefined],
    ['/v1/models/model-a', key, ['model-a', 'model', 0, 'main']],
    ['/v1/models/model-a?x=1', key, ['model-a', 'model', 0, 'main']],
    ['/v1/models/org/b', key, ['org/b', 'model', 0, NAME]],
    ['/v1/models/org%2Fb', key, ['org/b', 'model', 0, NAME]],
    ['/v1/models/model-e', key, 'model_not_found'],
    ['/v1/models/model-off', key, 'model_not_found'],
    ['/v1/models/org/b', limited, ['org/b', 'model', 0, NAME]],
    ['/v1/models/model-a', limited, 'model_not_found'],
    ['/v1/models/model-z', limited, 'model_not_found'],
    ['/v1/models/model-a', one, undefined],
  ]
  upstream.answer((request, response) => json(response, { error: { code: `upstream ${request.url}` } }))
  for (const [path, with_, expected] of cases) {
    const base = with_ === one ? 'second' : 'base'
    const passedOn = `upstream /${base}${path.replace('/c/main', '')}`
    t.same(await ids(path, with_), expected ?? passedOn, path)
  }
})

t.test('below the path of PUBLIC_URL, and a redirect comes back below the same base URL', async (t) => {
  const setup = await setUpTwo(t, { env: { PUBLIC_URL: 'https://ai.example/llm' } })
  setup.upstream.answer((_, response) => response.writeHead(302, { location: '/second/v1/files/2' }).end())
  for (const path of ['', '/llm']) {
    const answer = await ask(`${setup.broker.origin}${path}/c/${ENCODED}/v1/files/1`, { key: setup.key })
    t.equal(answer.headers.location, `/llm/c/${ENCODED}/v1/files/2`)
  }
})

t.test('WebSockets go to the config that is named, and end with it', async (t) => {
  const setup = await setUpRealtime(t)
  const { broker, upstream, key: _, ...others } = setup
  const base_url = `${upstream.origin}/second/v1`
  const second = await addConfig(broker, { name: NAME, models: ['model-a'], base_url })
  const key = await addKey(broker, { model_config_ids: [setup.configId, second] })
  const named = { ...others, key, v1: `${broker.origin}/c/${ENCODED}/v1` }
  const sockets = [
    connect(named),
    connect({ ...named, v1: setup.v1 }, undefined, [], { [HEADER]: ENCODED }),
    connect({ ...named, v1: setup.v1 }),
  ]
  await Promise.all(sockets.map((socket) => once(socket, 'open')))
  const paths = setup.arrived.map(({ request }) => request.url).sort()
  t.same(
    paths,
    ['base', 'second', 'second'].map((path) => `/${path}/v1/realtime?model=model-a`),
  )
  t.equal((await answerTo(connect({ ...named, v1: `${broker.origin}/c/nobody/v1` }))).status, 404)

  const ends = sockets.slice(0, 2).map(closing)
  await broker.admin('PATCH', `/api/models/configs/${second}/status?is_active=false`)
  for (const end of ends) t.equal((await end)[0], 1008)
  t.equal(sockets[2]?.readyState, 1, 'the other one goes on')
})
