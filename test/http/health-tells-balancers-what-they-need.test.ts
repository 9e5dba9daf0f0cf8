import { connect, createServer, type Server, type Socket } from 'node:net'
import t from 'tap'
import { ask } from '../gateway/fixtures/client.ts'
import { addConfig, addKey, setUp, startUpstream, strictConfig } from '../gateway/fixtures/upstream.ts'
import { call, startBroker } from '../support/broker.ts'
import { emptyMysql } from '../support/databases.ts'
import { freePort } from '../support/free-port.ts'
import { waitUntil } from '../support/wait-until.ts'

t.test('live and ready need no key and name no inner matters', async (t) => {
  const { broker } = await setUp(t)
  for (const path of ['/health/live', '/health/ready']) {
    t.match(await call(broker.origin + path, 'GET'), { status: 200, body: { status: 'ok' } })
  }
})

t.test('draining: not ready, yet serving, and connections are not kept', async (t) => {
  const { broker, key, v1 } = await setUp(t)
  broker.app.drain()
  t.match(await call(`${broker.origin}/health/ready`, 'GET'), { status: 503, body: { status: 'draining' } })
  t.equal((await call(`${broker.origin}/health/live`, 'GET')).status, 200)
  const answer = await ask(`${v1}/models`, { key, headers: { connection: 'keep-alive' } })
  t.equal(answer.status, 200)
  t.equal(answer.headers.connection, 'close')
})

/** A way to the database that can be opened and cut. */
class Gate {
  readonly #to: { host: string; port: number }
  readonly #port: number
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined

  constructor(port: number, target: URL) {
    this.#port = port
    this.#to = { host: target.hostname, port: Number(target.port) }
  }

  async open(): Promise<void> {
    this.#server = createServer((socket) => {
      const onward = connect(this.#to)
      for (const end of [socket, onward]) {
        this.#sockets.add(end)
        end.on('error', () => {})
        end.on('close', () => this.#sockets.delete(end))
      }
      socket.pipe(onward).pipe(socket)
    })
    await new Promise<void>((resolve) => this.#server?.listen(this.#port, '127.0.0.1', resolve))
  }

  cut(): void {
    this.#server?.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}

const server = process.env['MYSQL_TEST_URL']
t.test('a database that comes late and goes away', { skip: server ? false : 'no MySQL here' }, async (t) => {
  const direct = new URL((await emptyMysql(t)).url)
  const [port, databasePort] = [await freePort(), await freePort()]
  const gate = new Gate(databasePort, direct)
  t.teardown(() => gate.cut())
  const through = Object.assign(new URL(direct), { port: String(databasePort) }).href
  const upstream = await startUpstream(t)
  const origin = `http://127.0.0.1:${port}`
  const starting = startBroker(t, {
    databaseUrl: through,
    env: { PORT: String(port) },
    config: strictConfig(upstream.origin),
  })
  const readiness = () => call(`${origin}/health/ready`, 'GET').catch(() => undefined)
  const status = async () => (await readiness())?.status

  await waitUntil(async () => (await status()) === 503)
  t.match((await readiness())?.body, { status: 'migrating' })
  t.equal((await call(`${origin}/health/live`, 'GET')).status, 200)
  for (const path of ['/v1/models', '/api/models/configs']) {
    const answer = await call(origin + path, 'GET')
    t.equal(answer.status, 503)
    t.match(JSON.stringify(answer.body), /storage_unavailable/)
    t.match(answer.headers.get('retry-after'), /^\d+$/)
  }

  await gate.open()
  const broker = await starting
  t.equal(await status(), 200, 'it waited for its database')
  await addConfig(broker, { name: 'main', models: ['model-a'] })
  const key = await addKey(broker)
  const chat = () => ask(`${origin}/v1/chat/completions`, { key, body: { model: 'model-a' } })
  t.equal((await chat()).status, 200)

  gate.cut()
  await waitUntil(async () => (await status()) === 503)
  t.match((await readiness())?.body, { status: /does not answer/ })
  t.equal((await chat()).status, 200, 'what is cached goes on serving')
  const unknown = await ask(`${origin}/v1/models`, { key: `sk-tb-${'x'.repeat(43)}` })
  t.equal(unknown.status, 503, 'an unknown key may be a good one')
  t.match(unknown.body.toString(), /storage_unavailable/)
  t.equal((await broker.admin('GET', '/api/models/configs')).status, 503)

  await gate.open()
  await waitUntil(async () => (await status()) === 200)
  t.equal((await broker.admin('GET', '/api/models/configs')).status, 200)
})
