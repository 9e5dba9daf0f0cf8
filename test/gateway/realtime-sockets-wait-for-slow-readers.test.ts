import { once } from 'node:events'
import t from 'tap'
import type { WebSocket } from 'ws'
import { waitUntil } from '../support/wait-until.ts'
import { open, setUpRealtime } from './fixtures/realtime.ts'

const MESSAGES = 512
const MESSAGE = 'x'.repeat(128 * 1024)
const MIB = 1024 * 1024

/** Nothing moves any more: the sockets between the two ends are full, or everything has left. */
async function standsStill(socket: WebSocket): Promise<number> {
  let last = -1
  let still = 0
  await waitUntil(() => {
    still = socket.bufferedAmount === last ? still + 1 : 0
    last = socket.bufferedAmount
    return still > 50 || last === 0
  }, 20_000)
  return last
}

for (const pouring of ['client', 'upstream'] as const) {
  t.test(`what the ${pouring} pours waits there until the other side reads`, async (t) => {
    const setup = await setUpRealtime(t)
    setup.onMessage = () => {}
    const pair = await open(setup)
    const [from, to] = pouring === 'client' ? [pair.client, pair.upstream] : [pair.upstream, pair.client]
    let bytes = 0
    let messages = 0
    to.on('message', (message: Buffer) => {
      bytes += message.length
      messages += 1
    })
    to.pause()
    for (let i = 0; i < MESSAGES; i += 1) from.send(MESSAGE)
    const waiting = await standsStill(from)
    t.ok(waiting > 32 * MIB, `${Math.round(waiting / MIB)} of 64 MiB wait where they come from`)
    to.resume()
    await waitUntil(() => messages === MESSAGES)
    t.equal(bytes, MESSAGES * MESSAGE.length, 'and none is lost')
    from.close(4000)
    t.equal((await once(to, 'close'))[0], 4000)
  })
}
