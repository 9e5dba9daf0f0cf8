/** A page of another origin opens a realtime connection: it can present its key as a subprotocol only. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { setUpRealtime } from '../gateway/fixtures/realtime.ts'
import { addConfig, addKey } from '../gateway/fixtures/upstream.ts'
import { openTab, withBrowser } from './fixtures/browser.ts'

async function pageElsewhere(t: Test): Promise<string> {
  const server = createServer((_, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>x</title>'),
  )
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://localhost:${(server.address() as AddressInfo).port}`
}

withBrowser(t, 'with a key over several accounts, and a model in the query', async (t) => {
  const setup = await setUpRealtime(t)
  const base_url = `${setup.upstream.origin}/second/v1`
  await addConfig(setup.broker, { name: 'second', models: ['model-b'], base_url })
  const key = await addKey(setup.broker)
  const { page } = await openTab(t)
  await page.goto(await pageElsewhere(t))
  const talk = (model: string, protocols: string[]) =>
    page.evaluate(
      ([url, protocols]) =>
        new Promise<string>((resolve) => {
          const socket = new WebSocket(url, protocols)
          socket.onopen = () => socket.send('{"type":"response.create"}')
          socket.onmessage = ({ data }) => {
            resolve(`${socket.protocol} ${data}`)
            socket.close()
          }
          socket.onclose = ({ code }) => resolve(`closed ${code}`)
        }),
      [`${setup.v1.replace('http:', 'ws:')}/realtime?model=${model}`, protocols] as const,
    )
  const offered = ['realtime', `openai-insecure-api-key.${key}`]
  const heard = 'realtime {"type":"response.create"}'
  for (const [model, path] of [
    ['model-a', '/base/v1'],
    ['model-b', '/second/v1'],
  ] as const) {
    t.equal(await talk(model, [...offered, 'openai-beta.realtime-v1']), heard)
    t.equal(setup.asked.at(-1)?.url, `${path}/realtime?model=${model}`)
  }
  setup.takes = () => false
  t.equal(await talk('model-b', offered), heard, 'where upstream knows no subprotocols')
  t.equal(await talk('nobodys', offered), 'closed 1006')
  t.equal(await talk('model-b', ['realtime', 'openai-insecure-api-key.sk-tb-nobodys']), 'closed 1006')
})
