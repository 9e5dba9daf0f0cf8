/** A process that may have 300 descriptors, and a key that opens more WebSockets than that. */
import { once } from 'node:events'
import t from 'tap'
import type { WebSocket } from 'ws'
import { socketsAKey } from '../../src/http/connections.ts'
import { startProcess } from '../support/broker-process.ts'
import { waitUntil } from '../support/wait-until.ts'
import { answerTo, closing, connect, setUpRealtime } from './fixtures/realtime.ts'
import { addConfig, addKey, strictProviders } from './fixtures/upstream.ts'

const DESCRIPTORS = 300
const MOST = socketsAKey(DESCRIPTORS)

t.test('a key has half of the connections, its handshakes included; others have theirs', async (t) => {
  const setup = await setUpRealtime(t)
  const broker = await startProcess(t, {
    descriptors: DESCRIPTORS,
    providers: strictProviders(setup.upstream.origin),
  })
  await addConfig(broker, { name: 'main', models: ['model-a'] })
  const [greedy, other] = [await addKey(broker), await addKey(broker, { name: 'other' })]
  const at = (key: string) => ({ v1: `${broker.origin}/v1`, key })
  t.ok(MOST > 20 && MOST < DESCRIPTORS / 4, `${MOST}`)
  const held: WebSocket[] = []
  for (let i = 0; i < MOST - 1; i += 1) {
    const socket = connect(at(greedy))
    held.push(socket)
    await once(socket, 'open')
  }
  setup.acceptsAfterMs = 600_000
  const pending = connect(at(greedy))
  await waitUntil(() => setup.asked.length === MOST)
  setup.acceptsAfterMs = 0
  for (let i = 0; i < 3; i += 1) {
    const refused = await answerTo(connect(at(greedy)))
    t.match(refused, {
      status: 429,
      body: /rate_limit_exceeded.*are open at once|are open at once.*rate_limit_exceeded/s,
    })
    t.ok(Number(refused.headers['retry-after']) > 0)
  }
  t.equal(setup.asked.length, MOST, 'upstream hears of none')
  t.equal((await answerTo(connect(at(other)))).status, 101, 'another key opens one')
  t.equal((await broker.call('GET', '/health/live')).status, 200)
  pending.terminate()
  const first = held[0] as WebSocket
  const closed = closing(first)
  first.close()
  await closed
  await waitUntil(async () => (await answerTo(connect(at(greedy)))).status === 101)
  for (const socket of held) socket.terminate()
})
