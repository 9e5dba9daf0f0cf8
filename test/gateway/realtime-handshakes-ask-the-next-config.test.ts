/** A config that cannot accept a handshake is passed over, as it is for calls. */
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import t from 'tap'
import { WebSocketServer } from 'ws'
import { answerTo, closing, connect, setUpRealtime } from './fixtures/realtime.ts'
import { addConfig, addKey } from './fixtures/upstream.ts'

/** Refusals, by the path of the base URL that is asked. */
const REFUSALS: Record<string, string> = {
  limited: 'HTTP/1.1 429 Too Many\r\nRetry-After: 20\r\n',
  broken: 'HTTP/1.1 503 Down\r\n',
  refused: 'HTTP/1.1 401 Unauthorized\r\n',
  unknown: 'HTTP/1.1 404 Not Found\r\n',
  garbage: 'SSH-2.0-x\r\n',
}

async function scene(t: Parameters<typeof setUpRealtime>[0]) {
  const setup = await setUpRealtime(t)
  const { broker, upstream } = setup
  const asked: string[] = []
  upstream.server.removeAllListeners('upgrade')
  const sockets = new WebSocketServer({ noServer: true })
  upstream.server.on('upgrade', (request: IncomingMessage, socket, head) => {
    const place = /^\/([^/]+)/.exec(request.url ?? '')?.[1] ?? ''
    asked.push(place)
    const refusal = REFUSALS[place]
    if (refusal) socket.end(`${refusal}Content-Length: 2\r\n\r\n{}`)
    else
      sockets.handleUpgrade(request, socket, head, (opened) =>
        opened.on('message', (m) => opened.send(String(m))),
      )
  })
  t.teardown(() => {
    for (const client of sockets.clients) client.terminate()
  })
  let made = 0
  const keyOver = async (...places: string[]) => {
    const ids: string[] = []
    for (const place of places) {
      made += 1
      const base_url = place === 'away' ? 'http://127.0.0.1:1/v1' : `${upstream.origin}/${place}/v1`
      ids.push(await addConfig(broker, { name: `${place} ${made}`, models: ['model-a'], base_url }))
    }
    return { key: await addKey(broker, { model_config_ids: ids }), ids }
  }
  return { setup, asked, keyOver }
}

t.test('what another config may mend is asked of the next one', async (t) => {
  const { setup, asked, keyOver } = await scene(t)
  for (const place of ['limited', 'broken', 'refused', 'garbage', 'away']) {
    const { key, ids } = await keyOver(place, 'good')
    asked.length = 0
    const client = connect({ ...setup, key })
    await once(client, 'open')
    client.send('echo')
    t.equal(String((await once(client, 'message'))[0]), 'echo', place)
    const closed = closing(client)
    client.close()
    await closed
    t.same(asked, place === 'away' ? ['good'] : [place, 'good'])
    const again = connect({ ...setup, key })
    await once(again, 'open')
    again.terminate()
    t.equal(asked.at(-2), place === 'away' ? 'good' : 'good', `${place} rests meanwhile`)
    t.equal(asked.filter((one) => one === place).length, place === 'away' ? 0 : 1)
    const { items } = (await setup.broker.admin('GET', '/api/usage?group_by=config')).body
    const of = (id = '') => items.find(({ group }: { group: string }) => group === id)
    t.match(of(ids[0]), { requests: 1, errors: 1 }, place)
    t.match(of(ids[1]), { requests: 2, errors: 0 })
  }
})

t.test(
  "what is the client's own is told at once, and where nobody accepts, the most telling answer",
  async (t) => {
    const { setup, asked, keyOver } = await scene(t)
    const { key } = await keyOver('unknown', 'good')
    t.equal((await answerTo(connect({ ...setup, key }))).status, 404)
    t.same(asked, ['unknown'])
    const { key: allOut } = await keyOver('limited', 'broken')
    t.equal((await answerTo(connect({ ...setup, key: allOut }))).status, 503)
    const { key: cut } = await keyOver('limited', 'away')
    t.match(await answerTo(connect({ ...setup, key: cut })), {
      status: 429,
      headers: { 'retry-after': '20' },
    })
    asked.length = 0
    const { key: many } = await keyOver('broken', 'broken', 'broken', 'broken', 'good')
    t.equal((await answerTo(connect({ ...setup, key: many }))).status, 503, 'a call is worth four tries')
    t.equal(asked.length, 4)
  },
)
