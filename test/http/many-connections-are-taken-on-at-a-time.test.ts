/** A process with much to do takes on some connections in each round of its loop, and ends them all when it is closed. */
import { connect, type Socket } from 'node:net'
import Fastify from 'fastify'
import t from 'tap'
import { type App, closeHttp, listen } from '../../src/http/listen.ts'
import type { Config } from '../../src/settings/config.ts'
import { waitUntil } from '../support/wait-until.ts'

const CLIENTS = 320
const missing =
  process.platform === 'linux' ? false : 'only Linux divides connections among sockets of one port'

function appOf(): App {
  const fastify = Fastify({ forceCloseConnections: true })
  fastify.get('/', async () => 'ok')
  const cut = () => fastify.server.closeAllConnections()
  return { fastify, cut, open() {}, drain() {} }
}

const place = (port: number) => ({ host: '127.0.0.1', port }) as Config
const portOf = ({ fastify }: App) => (fastify.server.address() as { port: number }).port

t.test('several in a round', { skip: missing }, async (t) => {
  const app = appOf()
  await listen(app, place(0))
  let taken = 0
  app.fastify.server.on('connection', () => {
    taken += 1
  })
  const clients = Array.from({ length: CLIENTS }, () => connect(portOf(app), '127.0.0.1'))
  for (const client of clients) client.on('error', () => {})
  let rounds = 0
  while (taken < CLIENTS) {
    await new Promise((resolve) => setImmediate(resolve))
    if (taken > 0) rounds += 1
  }
  t.ok(rounds < CLIENTS / 2, `${rounds} rounds for ${CLIENTS} connections`)
  const answers = await Promise.all(clients.map(answerOn))
  t.ok(answers.every((answer) => answer.startsWith('HTTP/1.1 200 ')))
  const ended = Promise.all(clients.map((client) => new Promise((resolve) => client.once('close', resolve))))
  await closeHttp(app, 1_000)
  await ended
})

function answerOn(client: Socket): Promise<string> {
  return new Promise((resolve) => {
    client.once('data', (bytes) => resolve(bytes.toString('latin1')))
    client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  })
}

t.test('a port that another program has is refused, and one is given back', async (t) => {
  const [first, second] = [appOf(), appOf()]
  await listen(first, place(0))
  const port = portOf(first)
  await t.rejects(listen(second, place(port)), { message: /EADDRINUSE/ })
  await second.fastify.close()
  await closeHttp(first, 1_000)
  const third = appOf()
  await listen(third, place(port))
  await closeHttp(third, 1_000)
  await waitUntil(() => third.fastify.server.listening === false)
})
