import { once } from 'node:events'
import t from 'tap'
import { WebSocket } from 'ws'
import { startBroker } from '../support/broker.ts'
import { onEachDatabase, onMysql } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'
import { closing, connect, open, setUpRealtime, tcpOf } from './fixtures/realtime.ts'
import { addConfig, addKey, strictConfig } from './fixtures/upstream.ts'

const isOpen = ({ client, upstream }: { client: WebSocket; upstream: WebSocket }) =>
  client.readyState === WebSocket.OPEN && upstream.readyState === WebSocket.OPEN

onEachDatabase(t, 'with their key and with their config, and no others', async (t, { url }) => {
  const setup = await setUpRealtime(t, { databaseUrl: url })
  const { broker, configId } = setup
  const bystander = await open(setup)
  const keyId = async (name: string) =>
    (await broker.admin('GET', '/api/keys')).body.items.find((key: { name: string }) => key.name === name)
      .id as string
  const ends: Record<string, (configId: string, name: string) => Promise<unknown>> = {
    'key deleted': async (_, name) => broker.admin('DELETE', `/api/keys/${await keyId(name)}`),
    'key rotated': async (_, name) =>
      broker.admin('POST', `/api/keys/${await keyId(name)}/rotate`, { overlap_seconds: 0 }),
    'key limited to models': async (_, name) =>
      broker.admin('PATCH', `/api/keys/${await keyId(name)}`, { models: ['model-a', 'model-b'] }),
    'key moved to other configs': async (_, name) =>
      broker.admin('PATCH', `/api/keys/${await keyId(name)}`, { model_config_ids: [configId] }),
    'config deactivated': async (id) =>
      broker.admin('PATCH', `/api/models/configs/${id}/status?is_active=false`),
    'config deleted': async (id) => broker.admin('DELETE', `/api/models/configs/${id}`),
    'model taken away': async (id) => {
      const { body } = await broker.admin('GET', `/api/models/configs/${id}`)
      const models = [{ model_id: 'model-z' }]
      await addConfig(broker, { name: 'beside', models: ['model-y'] })
      return broker.admin('PUT', `/api/models/configs/${id}`, {
        models,
        aliases: {},
        updated_at: body.updated_at,
      })
    },
  }
  for (const [name, end] of Object.entries(ends)) {
    const id = await addConfig(broker, { name, models: ['model-a'] })
    const other = name === 'model taken away' ? [configId] : []
    const key = await addKey(broker, { name, model_config_ids: [id, ...other] })
    const pair = await open(setup, key)
    t.ok(isOpen(pair))
    const closed = closing(pair.client)
    const upstreamClosed = closing(pair.upstream)
    await end(id, name)
    t.match(await closed, [1008, /API key|model config/], name)
    t.equal((await upstreamClosed)[0], 1001, name)
  }
  bystander.client.send('still here')
  await waitUntil(() => bystander.heard.includes('still here'))
  t.ok(isOpen(bystander))
})

t.test('with a key that goes while upstream is asked, as soon as they are joined', async (t) => {
  const setup = await setUpRealtime(t)
  const { broker, asked } = setup
  for (const end of ['key', 'config']) {
    const id = await addConfig(broker, { name: end, models: ['model-a'] })
    const key = await addKey(broker, { name: end, model_config_ids: [id] })
    const standing = await open(setup, key)
    const standingEnds = closing(standing.client)
    const before = asked.length
    setup.acceptsAfter = standingEnds // when the change has been seen, and who is open been looked at
    const late = connect({ ...setup, key })
    const lateEnds = closing(late)
    await waitUntil(() => asked.length > before)
    const { items } = (await broker.admin('GET', '/api/keys')).body
    const keyId = items.find((one: { name: string }) => one.name === end).id
    if (end === 'key') await broker.admin('DELETE', `/api/keys/${keyId}`)
    else await broker.admin('DELETE', `/api/models/configs/${id}`)
    t.match(await standingEnds, [1008, /API key|model config/], end)
    t.match(await lateEnds, [1008, /API key|model config/], `${end}: joined behind that`)
  }
})

onMysql(t, 'also where the change was made on another replica', async (t, { url }) => {
  const setup = await setUpRealtime(t, { databaseUrl: url })
  const config = strictConfig(setup.upstream.origin)
  const replica = await startBroker(t, { databaseUrl: url, config, shared: setup.broker.sandbox })
  const pair = await open({ ...setup, v1: `${replica.origin}/v1`, arrived: setup.arrived })
  const closed = closing(pair.client)
  await setup.broker.admin('DELETE', `/api/models/configs/${setup.configId}`)
  t.equal((await closed)[0], 1008)
})

t.test('when their key has run out', async (t) => {
  const setup = await setUpRealtime(t)
  const key = await addKey(setup.broker, { expires_at: Date.now() + 2_500 })
  const closed = closing((await open(setup, key)).client)
  t.match(await closed, [1008, 'The API key has expired'])
})

t.test('when the overlap of their key is over', async (t) => {
  const setup = await setUpRealtime(t)
  const { id } = (await setup.broker.admin('GET', '/api/keys')).body.items[0]
  const closed = closing((await open(setup)).client)
  await setup.broker.admin('POST', `/api/keys/${id}/rotate`, { overlap_seconds: 2 })
  const during = closing((await open(setup)).client)
  t.equal((await closed)[0], 1008)
  t.match(await during, [1008, 'The API key has expired'])
})

t.test('in the middle of a message the close frame waits for the end of its frame', async (t) => {
  const setup = await setUpRealtime(t)
  const pair = await open(setup)
  const half = Buffer.concat([Buffer.from([0x81, 126, 0x10, 0x00]), Buffer.alloc(0x800, 'x')])
  const raw = tcpOf(pair.upstream)
  raw.write(half)
  const heard: string[] = []
  pair.client.on('message', (message: Buffer) => heard.push(message.toString()))
  await waitUntil(() => tcpOf(pair.client).bytesRead > 0x800)
  const closed = closing(pair.client)
  pair.upstream.pause() // else it would answer our close frame, in the middle of its own
  await setup.broker.admin('DELETE', `/api/models/configs/${setup.configId}`)
  await waitUntil(() => raw.readableLength > 0)
  raw.write(Buffer.concat([Buffer.alloc(0x800, 'x'), Buffer.from([0x81, 1, 0x79])]))
  t.equal((await closed)[0], 1008)
  t.same(heard, ['x'.repeat(0x1000)], 'the whole of it, and nothing behind')
})

t.test('a frame that does not end, and a side that does not listen, are cut', async (t) => {
  const setup = await setUpRealtime(t)
  const stuck = await open(setup)
  tcpOf(stuck.upstream).write(Buffer.from([0x81, 126, 0x10, 0x00, 0x78]))
  const deaf = await open(setup)
  deaf.client.pause()
  tcpOf(deaf.upstream).pause()
  await waitUntil(() => tcpOf(stuck.client).bytesRead > 4)
  const closed = [closing(stuck.client), closing(deaf.upstream)]
  await setup.broker.admin('DELETE', `/api/models/configs/${setup.configId}`)
  tcpOf(deaf.upstream).resume()
  t.equal((await closed[0])?.[0], 1006)
  await closed[1]
  await waitUntil(() => setup.broker.log.filter((line) => line.includes('"status":101')).length === 2)
})

t.test('at the end of the server, with a word', async (t) => {
  const setup = await setUpRealtime(t)
  const pair = await open(setup)
  const closed = closing(pair.client)
  const ended = setup.broker.close()
  t.match(await closed, [1001, 'The server is going away'])
  await ended
})

t.test('when upstream breaks off, or a frame is not one', async (t) => {
  const setup = await setUpRealtime(t)
  const cases: [string, number, (pair: { client: WebSocket; upstream: WebSocket }) => unknown][] = [
    ['upstream hangs up', 1011, ({ upstream }) => tcpOf(upstream).end()],
    ['upstream resets', 1011, ({ upstream }) => tcpOf(upstream).resetAndDestroy()],
    [
      'upstream masks',
      1011,
      ({ upstream }) => tcpOf(upstream).write(Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x78])),
    ],
    ['upstream compresses', 1011, ({ upstream }) => tcpOf(upstream).write(Buffer.from([0xc1, 1, 0x78]))],
    ['the client does not mask', 1002, ({ client }) => tcpOf(client).write(Buffer.from([0x81, 1, 0x78]))],
    [
      'the client compresses',
      1002,
      ({ client }) => tcpOf(client).write(Buffer.from([0xc1, 0x81, 0, 0, 0, 0, 0])),
    ],
    ['an unknown opcode', 1002, ({ client }) => tcpOf(client).write(Buffer.from([0x83, 0x80, 0, 0, 0, 0]))],
    [
      'a ping of 126 bytes',
      1002,
      ({ client }) => tcpOf(client).write(Buffer.from([0x89, 0xfe, 0, 126, 0, 0, 0, 0])),
    ],
    ['a ping in pieces', 1002, ({ client }) => tcpOf(client).write(Buffer.from([0x09, 0x80, 0, 0, 0, 0]))],
    ['17 MiB in one frame', 1009, ({ client }) => client.send(Buffer.alloc(17 * 1024 * 1024))],
    [
      '17 MiB in one frame of upstream',
      1009,
      ({ upstream }) => upstream.send(Buffer.alloc(17 * 1024 * 1024)),
    ],
    [
      '2^63 bytes',
      1009,
      ({ client }) => tcpOf(client).write(Buffer.from([0x81, 0xff, 0x7f, ...Array(11).fill(255)])),
    ],
  ]
  for (const [name, code, act] of cases) {
    const pair = await open(setup)
    const closed = closing(pair.client)
    act(pair)
    t.equal((await closed)[0], code, name)
    await waitUntil(() => pair.upstream.readyState === WebSocket.CLOSED)
  }
  const whole = await open(setup)
  whole.client.send(Buffer.alloc(16 * 1024 * 1024))
  const [message] = (await once(whole.client, 'message')) as [Buffer]
  t.equal(message.length, 16 * 1024 * 1024, '16 MiB pass')
  whole.client.terminate()
})
