/**
 * What an account made is asked of that account, by whatever call, through whichever replica, as soon as the client knows
 * its id. `HOME_IDS=10000` makes so many instead of some hundred.
 */
import t from 'tap'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { must } from '../support/broker.ts'
import { onEachDatabase, onMysql } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'
import { ask, type CallOptions, finish, open } from './fixtures/client.ts'
import { ACCOUNTS, accountOf, answeredBy, setStage } from './fixtures/three-accounts.ts'
import { addKey, json, readAll, UPSTREAM_KEY } from './fixtures/upstream.ts'

const COUNT = Number(process.env['HOME_IDS'] ?? 300)
const AT_ONCE = 16
const HEADER = 'x-token-broker-config'

onEachDatabase(t, `${COUNT} ids of three accounts over two replicas`, async (t, database) => {
  const { upstream, here, there, key } = await setStage(t, database)
  const made = new Map<string, string>()
  let [returned, lost] = [0, 0]
  upstream.answer(async (request, response) => {
    const account = accountOf(request)
    const body = (await readAll(request)).toString()
    const named = body === '' ? request.url?.split('/').at(-1) : JSON.parse(body).previous_response_id
    if (named === undefined) {
      const id = `resp_${made.size}`
      made.set(id, account)
      return json(response, { id, account })
    }
    if (made.get(named) === account) returned += 1
    else lost += 1
    return json(response, { id: 'resp_other', account })
  })
  let next = 0
  const work = async () => {
    while (next < COUNT) {
      const n = next++
      const [one, other] = n % 2 === 0 ? [here, there] : [there, here]
      const body = { model: `model-${ACCOUNTS[n % 3]}` }
      const { id } = JSON.parse((await ask(`${one.origin}/v1/responses`, { key, body })).body.toString())
      // The id goes before the model, which is perhaps another account's.
      const again = { body: { model: 'model-a', previous_response_id: id, store: false } }
      await ask(`${other.origin}/v1/responses${n % 5 < 3 ? '' : `/${id}`}`, { key, ...(n % 5 < 3 && again) })
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  t.same([made.size, returned, lost], [COUNT, COUNT, 0])
})

/** That an id is known in the moment in which its client hears of it, however long the database takes. */
onMysql(t, 'no client hears of an id before other replicas know it', async (t, database) => {
  const proxy = await TcpProxy.to(database.url)
  t.teardown(() => proxy.close())
  const { upstream, here, there, key } = await setStage(t, database, { databaseUrl: proxy.via(database.url) })
  let end = () => {}
  upstream.answer(async (request, response) => {
    if (request.method === 'GET') return json(response, { account: accountOf(request) })
    const { stream, id } = JSON.parse((await readAll(request)).toString())
    if (stream !== true) return json(response, { object: 'response', id, output: [] })
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(': hello\n\nevent: response.created\n')
    response.write(`data: {"type":"response.created","response":{"output":[],"id":"${id}"}}\n\n`)
    end = () => response.end('data: {"type":"response.completed","response":{"id":"resp_never"}}\n\n')
    return undefined
  })
  await ask(`${here.origin}/v1/responses`, { key, body: { model: 'model-c', id: 'resp_warm' } })
  proxy.latencyMs = 40
  for (const stream of [true, false]) {
    const id = `resp_${stream}`
    const response = await open(`${here.origin}/v1/responses`, {
      key,
      body: { model: 'model-c', id, stream },
    })
    let text = ''
    for await (const piece of response.iterator({ destroyOnReturn: false })) {
      text += piece
      if (text.includes(id)) break
    }
    t.equal(await answeredBy(there, key, `/responses/${id}`), 'c', `stream: ${stream}`)
    end()
    await finish(response)
  }
  t.equal(
    await answeredBy(there, key, '/responses/resp_never'),
    'a',
    'only the first event of a stream counts',
  )
})

const CALLS: Record<string, (id: string) => [path: string, call?: CallOptions]> = {
  'its own path': (id) => [`/responses/${id}`],
  'a path below it': (id) => [`/vector_stores/${id}/files?limit=1`],
  deleting: (id) => [`/files/${id}`, { method: 'DELETE' }],
  'an answer before': (id) => ['/responses', { body: { model: 'model-a', previous_response_id: id } }],
  'a conversation': (id) => ['/responses', { body: { conversation: id, model: 'model-a' } }],
  'a conversation as an object': (id) => ['/responses', { body: { conversation: { id } } }],
  'a file among the input': (id) => [
    '/responses',
    { body: { model: 'model-a', input: [{ content: [{ type: 'input_file', file_id: id }] }] } },
  ],
  'a file in a message': (id) => [
    '/messages',
    { body: { messages: [{ content: [{ type: 'document', source: { type: 'file', file_id: id } }] }] } },
  ],
  'a file of a chat': (id) => [
    '/chat/completions',
    { body: { model: 'model-a', messages: [{ content: [{ type: 'file', file: { file_id: id } }] }] } },
  ],
  'a tuned model': (id) => ['/chat/completions', { body: { model: id, messages: [] } }],
  'a batch': (id) => ['/batches', { body: { input_file_id: id, endpoint: '/v1/responses' } }],
  'files for a search': (id) => ['/vector_stores', { body: { file_ids: ['file-nobodys', id] } }],
  'a form': (id) => [
    '/videos/edits',
    {
      method: 'POST',
      body: Buffer.from(`--x\r\nContent-Disposition: form-data; name="video[id]"\r\n\r\n${id}\r\n--x--\r\n`),
      headers: { 'content-type': 'multipart/form-data; boundary=x' },
    },
  ],
}

onEachDatabase(t, 'whatever names it', async (t, database) => {
  const { upstream, here, there, key } = await setStage(t, database)
  let made = ''
  upstream.answer(async (request, response) => {
    await readAll(request)
    json(response, { account: accountOf(request), ...(made !== '' && { id: made }) })
  })
  for (const [way, write] of Object.entries(CALLS)) {
    made = `ft:id-of ${way}`.replaceAll(' ', '_')
    const upload = { key, body: Buffer.from('x'), method: 'POST', headers: { [HEADER]: 'b' } }
    await ask(`${here.origin}/v1/files`, upload)
    const id = made
    made = ''
    t.equal(await answeredBy(there, key, ...write(id)), 'b', way)
    const [path, call = {}] = write(id)
    t.equal(
      await answeredBy(there, key, path, { ...call, headers: { ...call.headers, [HEADER]: 'c' } }),
      'c',
      'the header goes before',
    )
    const unknown = way === 'a tuned model' ? '404 model_not_found' : 'a'
    t.equal(await answeredBy(there, key, ...write('ft:of_nobody')), unknown, 'an id that nobody knows')
  }
})

onEachDatabase(
  t,
  'a home that cannot answer is told, and one that is none of the key is unknown',
  async (t, database) => {
    const { upstream, here, there, key, ids } = await setStage(t, database)
    upstream.answer(async (request, response) => {
      await readAll(request)
      const account = accountOf(request)
      json(response, { account, ...(request.method === 'POST' && { id: `made-by-${account}` }) })
    })
    for (const name of ACCOUNTS)
      t.equal(await answeredBy(here, key, '/files', { method: 'POST', headers: { [HEADER]: name } }), name)
    const two = { body: { model: 'model-a', file_ids: ['made-by-b', 'made-by-c'] } }
    t.equal(await answeredBy(there, key, '/vector_stores', two), '400 malformed_request')

    const others = await addKey(here)
    t.equal(await answeredBy(there, others, '/files/made-by-b'), 'a', "another key's ids are none of its own")
    const elsewhere = { base_url: 'http://127.0.0.1:1/v1', api_key: UPSTREAM_KEY }
    await must(here.admin('PUT', `/api/models/configs/${ids['c']}`, elsewhere))
    await here.admin('PATCH', `/api/models/configs/${ids['b']}/status?is_active=false`)
    for (const [id, name, why] of [
      ['made-by-b', '"b"', 'it is switched off'],
      ['made-by-c', '"c"', 'cannot be reached'],
    ] as const) {
      await waitUntil(async () => (await answeredBy(there, key, `/files/${id}`)) === '503 config_unavailable')
      const answer = await ask(`${there.origin}/v1/files/${id}`, { key })
      t.match(JSON.parse(answer.body.toString()).error.message, name)
      t.match(answer.body.toString(), why)
    }
    await here.admin('DELETE', `/api/models/configs/${ids['b']}`)
    await waitUntil(async () => (await answeredBy(there, key, '/files/made-by-b')) === 'a')
  },
)

t.test('where there is nothing to choose nothing is written', async (t) => {
  const stage = await setStage(t, { kind: 'SQLite', url: 'sqlite:' })
  const { upstream, here, key, ids } = stage
  let id = 0
  upstream.answer(async (request, response) => {
    await readAll(request)
    id += 1
    json(response, { id: `id_${id}` }, request.url?.endsWith('/fails') ? 400 : 200)
  })
  const tables = openTables(t, here, { kind: 'SQLite', url: 'sqlite:' })
  const count = async () =>
    (await tables.run((db) => db.selectFrom('resource_homes').select('id_hash').execute())).length
  const { configId: practice } = await here.connect('practice')
  const one = await addKey(here, { model_config_ids: [ids['b'], practice] })
  const post = (path: string, body: object) => ({ method: 'POST', path, body })
  const nothing: [key: string, call: ReturnType<typeof post>][] = [
    [one, post('/responses', { model: 'model-b' })],
    [key, post('/chat/completions', { model: 'model-b' })],
    [key, post('/chat/completions', { model: 'model-b', store: false })],
    [key, post('/messages', { model: 'model-b' })],
    [key, post('/embeddings', { model: 'model-b' })],
    [key, post('/responses', { model: 'model-b', store: false })],
    [key, post('/fails', { model: 'model-b' })],
    [key, { ...post('/responses/x', {}), method: 'PUT' }],
  ]
  for (const [with_, { path, ...call }] of nothing) {
    await ask(`${here.origin}/v1${path}`, { key: with_, ...call })
    t.equal(await count(), 0, `${call.method} ${path}`)
  }
  const some = [
    post('/responses', { model: 'model-b' }),
    post('/chat/completions', { model: 'model-b', store: true }),
    post('/messages/batches', { model: 'model-b' }),
    post('/files', {}),
  ]
  for (const [n, { path, ...call }] of some.entries()) {
    await ask(`${here.origin}/v1${path}`, { key, ...call })
    t.equal(await count(), n + 1, path)
  }
})

onMysql(
  t,
  'while the database is away calls go on, and what is made is known elsewhere once it is back',
  async (t, database) => {
    const proxy = await TcpProxy.to(database.url)
    t.teardown(() => proxy.close())
    const { upstream, here, there, key } = await setStage(t, database, {
      databaseUrl: proxy.via(database.url),
    })
    upstream.answer(async (request, response) => {
      await readAll(request)
      json(response, {
        account: accountOf(request),
        ...(request.method === 'POST' && { id: 'resp_meanwhile' }),
      })
    })
    const make = () => answeredBy(here, key, '/responses', { body: { model: 'model-c' } })
    for (const name of ACCOUNTS)
      t.equal(await answeredBy(here, key, '/embeddings', { body: { model: `model-${name}` } }), name)
    t.equal(await answeredBy(here, key, '/responses/resp_meanwhile'), 'a')
    proxy.drop()
    t.equal(await make(), 'c')
    t.equal(await answeredBy(here, key, '/responses/resp_meanwhile'), 'c', 'known here')
    const nobodys = await answeredBy(here, key, '/responses/resp_nobodys')
    t.equal(nobodys, '503 storage_unavailable', 'whose it is cannot be known')
    t.equal(await answeredBy(there, key, '/responses/resp_meanwhile'), 'a', 'and not yet there')
    proxy.heal('late')
    await waitUntil(async () => (await answeredBy(there, key, '/responses/resp_meanwhile')) === 'c')
  },
)
