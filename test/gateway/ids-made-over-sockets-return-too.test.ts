/**
 * What was made over a WebSocket of `/v1/responses` is asked of the account that made it, by whatever call, through
 * whichever replica; and the first message of such a socket finds its account by what it names.
 */
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { type WebSocket, WebSocketServer } from 'ws'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { type BrokerOptions, must } from '../support/broker.ts'
import { onEachDatabase, onMysql, type TestDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'
import { ask } from './fixtures/client.ts'
import { answerTo, closing, connect, tcpOf } from './fixtures/realtime.ts'
import { accountOf, answeredBy, type Stage, setStage } from './fixtures/three-accounts.ts'
import { addKey, json, readAll, UPSTREAM_KEY } from './fixtures/upstream.ts'

const MIB = 1024 * 1024

interface Sockets extends Stage {
  /** Accounts that were asked for a handshake, in order. */
  readonly asked: string[]
  /** Those that refuse one. */
  readonly refusing: Map<string, number>
  /** All endpoints hang up. */
  hangUp(): void
}

/** Each account answers a message with a response of its own, which says what was heard. */
async function setSockets(t: Test, database: TestDatabase, options?: BrokerOptions): Promise<Sockets> {
  const stage = await setStage(t, database, options)
  const [asked, refusing]: [string[], Map<string, number>] = [[], new Map()]
  stage.upstream.answer(async (request, response) => {
    await readAll(request)
    json(response, { account: accountOf(request) })
  })
  const server = new WebSocketServer({
    server: stage.upstream.server,
    verifyClient: ({ req }, done) => {
      asked.push(accountOf(req))
      const isKnown = req.headers.authorization === `Bearer ${UPSTREAM_KEY}`
      const status = refusing.get(accountOf(req)) ?? (isKnown ? 101 : 401)
      done(status === 101, status)
    },
  })
  let made = 0
  server.on('connection', (socket: WebSocket, request) => {
    const account = accountOf(request)
    socket.on('error', () => {})
    socket.on('message', (message: Buffer) => {
      const { id = `resp_${account}_${made++}`, ...heard } = JSON.parse(message.toString())
      socket.send(JSON.stringify({ type: 'response.created', response: { output: [], id } }))
      socket.send(JSON.stringify({ type: 'response.completed', response: { id }, account, heard }))
    })
  })
  const hangUp = () => {
    for (const client of server.clients) client.terminate()
  }
  t.teardown(() => {
    hangUp()
    server.close()
  })
  return { ...stage, asked, refusing, hangUp }
}

interface Answer {
  readonly type: string
  readonly account: string
  readonly status?: number
  readonly error?: { code: string; message: string }
  readonly response: { id: string }
  readonly heard: unknown
}

function over(socket: WebSocket, message: object): Promise<Answer> {
  socket.send(JSON.stringify({ type: 'response.create', ...message }))
  return new Promise((resolve) => {
    const hear = (text: Buffer) => {
      const answer = JSON.parse(text.toString()) as Answer
      if (answer.type === 'response.created') return
      socket.off('message', hear)
      resolve(answer)
    }
    socket.on('message', hear)
  })
}

function socketTo(
  t: Test,
  { origin }: { origin: string },
  key: string,
  path = '/responses',
  headers = {},
): WebSocket {
  const socket = connect({ v1: `${origin}/v1`, key }, path, [], headers)
  t.teardown(() => socket.terminate())
  return socket
}

async function openTo(t: Test, ...to: [{ origin: string }, string, string?, object?]): Promise<WebSocket> {
  const socket = socketTo(t, ...to)
  await once(socket, 'open')
  return socket
}

onEachDatabase(t, 'an id of a socket is found again by calls and by other sockets', async (t, database) => {
  const { here, there, key, asked } = await setSockets(t, database)
  const first = await openTo(t, here, key, '/responses', { 'x-token-broker-config': 'b' })
  const { account, response } = await over(first, { model: 'model-b' })
  t.equal(account, 'b')
  const body = { model: 'model-a', previous_response_id: response.id }
  for (const replica of [here, there]) {
    t.equal(await answeredBy(replica, key, `/responses/${response.id}`), 'b')
    t.equal(await answeredBy(replica, key, '/responses', { body }), 'b')
    asked.length = 0
    const socket = await openTo(t, replica, key)
    const sent = { input: 'x'.repeat(70_000), ...body }
    const again = await over(socket, sent)
    t.same([again.account, asked], ['b', ['a', 'b']], 'the first config accepts, the home answers')
    t.same(again.heard, { type: 'response.create', ...sent }, 'and hears what was said')
    const next = await over(socket, { model: 'model-a', previous_response_id: 'resp_nobodys' })
    t.equal(next.account, 'b', 'where it stays')
    await waitUntil(async () => (await answeredBy(here, key, `/responses/${next.response.id}`)) === 'b')
  }
})

/** Also of one that is over in no time, however long the database takes; and nothing overtakes what waits. */
onMysql(t, 'no client hears of an id before other replicas know it', async (t, database) => {
  const proxy = await TcpProxy.to(database.url)
  t.teardown(() => proxy.close())
  const { here, there, key } = await setSockets(t, database, { databaseUrl: proxy.via(database.url) })
  const socket = await openTo(t, here, key, '/responses', { 'x-token-broker-config': 'b' })
  const heard: string[] = []
  socket.on('message', (text) => {
    const { type, response } = JSON.parse(text.toString())
    heard.push(`${type.replace('response.', '')} ${response.id}`)
  })
  await over(socket, { id: 'resp_warm' })
  heard.length = 0
  proxy.latencyMs = 40
  const ids = ['resp_1', 'resp_2', 'resp_3']
  const answers = ids.map((id) => over(socket, { id }))
  await answers[0]
  t.equal(await answeredBy(there, key, '/responses/resp_1'), 'b')
  await waitUntil(() => heard.length === 6)
  t.same(
    heard,
    ids.flatMap((id) => [`created ${id}`, `completed ${id}`]),
  )
})

t.test('which account a first message means', async (t) => {
  const { here, key, asked } = await setSockets(t, { kind: 'SQLite', url: 'sqlite:' })
  const ask = async (message: object, path?: string, headers?: object) => {
    asked.length = 0
    const { account } = await over(await openTo(t, here, key, path, headers), message)
    return [account, ...asked]
  }
  t.same(await ask({ model: 'model-c' }), ['c', 'a', 'c'], 'that which lists its model')
  t.same(await ask({ model: 'model-a' }), ['a', 'a'])
  t.same(await ask({ model: 'nobodys' }), ['a', 'a'])
  t.same(await ask({}), ['a', 'a'])
  t.same(await ask({ model: 'model-c' }, '/responses?model=model-b'), ['b', 'b'], 'the query goes before')
  t.same(await ask({ model: 'model-c' }, '/responses', { 'x-token-broker-config': 'b' }), ['b', 'b'])
  t.same(await ask({ model: 'model-c' }, '/realtime?model=model-b'), ['b', 'b'], 'elsewhere nobody looks')
})

onEachDatabase(t, 'a call that is under way is joined where it was made', async (t, database) => {
  const { here, there, key, upstream, asked } = await setSockets(t, database)
  upstream.answer(async (request, response) => {
    await readAll(request)
    const account = accountOf(request)
    if (!request.url?.endsWith('/realtime/calls')) return json(response, { account })
    const location = `/${account}/v1/realtime/calls/rtc_1`
    return response.writeHead(201, { location, 'content-type': 'application/sdp' }).end('v=0')
  })
  const sdp = { method: 'POST', body: 'v=0', headers: { 'content-type': 'application/sdp' } }
  const calls = `${here.origin}/v1/realtime/calls`
  const made = await ask(calls, { key, ...sdp, headers: { ...sdp.headers, 'x-token-broker-config': 'c' } })
  t.match(made.headers.location, /\/realtime\/calls\/rtc_1$/)
  for (const replica of [here, there]) {
    asked.length = 0
    await openTo(t, replica, key, '/realtime?call_id=rtc_1&x=y')
    await openTo(t, replica, key, '/realtime/calls/rtc_1')
    await openTo(t, replica, key, '/realtime?call_id=rtc_nobodys')
    t.same(asked, ['c', 'c', 'a'])
    t.equal(await answeredBy(replica, key, '/realtime/calls/rtc_1/hangup', { method: 'POST' }), 'c')
  }
})

t.test('a home that cannot answer is told', async (t) => {
  const { here, key, ids, refusing } = await setSockets(t, { kind: 'SQLite', url: 'sqlite:' })
  const made = await over(await openTo(t, here, key, '/responses?model=model-b'), {})
  const again = { previous_response_id: made.response.id }
  const refused = async () => {
    const socket = await openTo(t, here, key)
    const closed = closing(socket)
    const { type, status, error } = await over(socket, again)
    t.equal((await closed)[0], 1011)
    return [type, status, error?.code]
  }
  refusing.set('b', 500)
  t.same(await refused(), ['error', 426, 'websocket_not_served'])
  refusing.clear()
  await here.admin('PATCH', `/api/models/configs/${ids['b']}/status?is_active=false`)
  await waitUntil(async () => (await answeredBy(here, key, `/responses/${made.response.id}`)) !== 'b')
  t.same(await refused(), ['error', 503, 'config_unavailable'])
})

t.test('an account that a key has lost is not asked, however long its socket was silent', async (t) => {
  const { here, key, ids, asked } = await setSockets(t, { kind: 'SQLite', url: 'sqlite:' })
  const { response } = await over(await openTo(t, here, key, '/responses?model=model-b'), {})
  const id = (await must(here.admin('GET', '/api/keys'))).items[0].id
  const messages = [{ model: 'model-b' }, { model: 'model-a', previous_response_id: response.id }]
  const silent = [await openTo(t, here, key), await openTo(t, here, key)]
  await must(here.admin('PATCH', `/api/keys/${id}`, { model_config_ids: [ids['a'], ids['c']] }))
  await waitUntil(async () => (await answeredBy(here, key, `/responses/${response.id}`)) !== 'b')
  asked.length = 0
  for (const [index, message] of messages.entries())
    t.equal((await over(silent[index] as WebSocket, message)).account, 'a')
  t.same(asked, [])
})

t.test('first messages that do not end hold as much as bodies may', async (t) => {
  const { here, key } = await setSockets(t, { kind: 'SQLite', url: 'sqlite:' })
  const [sockets, fitting] = [70, 64]
  const unended = Buffer.alloc(MIB)
  unended.set([0x81, 0xff, 0, 0, 0, 0, 0, 0x20, 0, 0]) // masked by zeros, 2 MiB of text
  const codes: (string | undefined)[] = []
  const open = Array.from({ length: sockets }, async () => {
    const socket = await openTo(t, here, key)
    socket.on('message', (text: Buffer) => codes.push((JSON.parse(text.toString()) as Answer).error?.code))
    tcpOf(socket).write(unended)
    return socket
  })
  const all = await Promise.all(open)
  await waitUntil(() => codes.length === sockets - fitting)
  t.same(codes, Array(sockets - fitting).fill('rate_limit_exceeded'))
  for (const socket of all) socket.terminate()
  const works = async () => {
    const socket = await openTo(t, here, key)
    return Promise.race([closing(socket), over(socket, { input: 'x'.repeat(MIB / 2) })])
  }
  await waitUntil(async () => 'account' in (await works()))
  t.equal(codes.length, sockets - fitting, 'those that fitted were never refused')
})

t.test('what nobody names later is not written', async (t) => {
  const database = { kind: 'SQLite', url: 'sqlite:' } as const
  const { here, key, ids } = await setSockets(t, database)
  const tables = openTables(t, here, database)
  const count = async () =>
    (await tables.run((db) => db.selectFrom('resource_homes').select('id_hash').execute())).length
  const socket = await openTo(t, here, key)
  await over(socket, { store: false })
  await over(socket, { store: false, id: 'x'.repeat(300) })
  await over(await openTo(t, here, key, '/realtime?model=model-b'), {})
  const one = await addKey(here, { model_config_ids: [ids['b']] })
  await over(await openTo(t, here, one), {})
  t.equal(await count(), 0)
  await over(socket, { store: true })
  await waitUntil(async () => (await count()) === 1)
  await over(socket, {})
  await waitUntil(async () => (await count()) === 2)
})

t.test('before its first message a socket ends as any other', async (t) => {
  const { here, key, asked, refusing, upstream, hangUp } = await setSockets(t, {
    kind: 'SQLite',
    url: 'sqlite:',
  })
  const open = () => openTo(t, here, key)
  const metric = async () => {
    const text = String((await here.admin('GET', '/metrics')).body)
    return Number(/^token_broker_open_calls (\d+)/m.exec(text)?.[1])
  }
  const connections = () =>
    new Promise<number>((resolve) => upstream.server.getConnections((_, n) => resolve(n)))
  const leaving = await open()
  leaving.terminate()
  const polite = await open()
  polite.close()
  await waitUntil(async () => (await metric()) === 0)
  const wrong = await open()
  const closed = closing(wrong)
  ;(wrong as unknown as { _socket: { write(bytes: Buffer): void } })._socket.write(
    Buffer.from([0xff, 0x80, 1, 2, 3, 4]),
  )
  t.equal((await closed)[0], 1002)
  const left = closing(await open())
  hangUp()
  t.equal((await left)[0], 1011)
  const ended = await open()
  const end = closing(ended)
  const { items } = await must(here.admin('GET', '/api/keys'))
  await here.admin('DELETE', `/api/keys/${items[0].id}`)
  t.equal((await end)[0], 1008)
  await waitUntil(async () => (await metric()) === 0 && (await connections()) === 0)
  refusing.set('a', 404)
  asked.length = 0
  const other = await addKey(here)
  t.equal((await answerTo(socketTo(t, here, other))).status, 426, 'none is accepted that nobody serves')
})
