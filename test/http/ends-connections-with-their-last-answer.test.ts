/** On its way out a broker waits for running answers, and for nothing else. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { Agent, request } from 'undici'
import { handleInTurn } from '../../src/http/client-request.ts'
import { Connections } from '../../src/http/connections.ts'
import { startBroker } from '../support/broker.ts'
import { waitUntil } from '../support/wait-until.ts'

const hello = (content: string, stream: boolean) =>
  JSON.stringify({ model: 'sandbox-model', stream, messages: [{ role: 'user', content }] })

t.test('a connection that is kept alive ends with the stream it carries', async (t) => {
  const broker = await startBroker(t)
  const { key } = await broker.connect()
  const client = new Agent({ keepAliveTimeout: 300_000, keepAliveMaxTimeout: 300_000, connections: 3 })
  t.teardown(() => client.destroy())
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const stream = (content: string) =>
    request(`${broker.origin}/v1/chat/completions`, {
      ...{ method: 'POST', dispatcher: client, headers, body: hello(content, true) },
    })
  const streams = await Promise.all([
    stream('a long answer '.repeat(6)),
    stream('a longer answer '.repeat(10)),
  ])
  for (const { headers } of streams) t.not(headers['connection'], 'close', 'kept alive when the stream began')

  let isClosed = false
  const closing = broker.app.close(120_000).then(() => {
    isClosed = true
  })
  for (const { body } of streams) {
    t.equal(isClosed, false, 'it waits for the stream')
    t.match(await body.text(), /data: \[DONE\]\n\n$/)
  }
  await waitUntil(() => isClosed)
  await closing
})

t.test('connections that are idle when it begins are ended at once', async (t) => {
  const broker = await startBroker(t)
  const client = new Agent({ keepAliveTimeout: 300_000, keepAliveMaxTimeout: 300_000 })
  t.teardown(() => client.destroy())
  await (await request(`${broker.origin}/health/live`, { dispatcher: client })).body.text()
  let isClosed = false
  const closing = broker.app.close(120_000).then(() => {
    isClosed = true
  })
  await waitUntil(() => isClosed)
  await closing
})

t.test('an answer that is written and not yet read is not cut', async (t) => {
  const size = 50_000_000
  const server = createServer((_, response) => {
    response.end(Buffer.alloc(size))
  })
  handleInTurn(server)
  new Connections(server, Number.POSITIVE_INFINITY)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { body } = await request(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const closed = new Promise((resolve) => server.close(resolve))
  let read = 0
  for await (const bytes of body) read += bytes.length
  t.equal(read, size)
  await closed
})
