/** `keep_alive_seconds` of a provider file. */
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { KeepAlive } from '../../src/gateway/keep-alive.ts'
import { startBroker } from '../support/broker.ts'
import { ask } from './fixtures/client.ts'
import { addConfig, addKey, type Handler, startUpstream } from './fixtures/upstream.ts'

const COMMENT = ': keep-alive\n\n'
const EVENT_STREAM = { 'content-type': 'text/event-stream' }

async function setUp(t: Test, setting: string, handler: Handler) {
  const upstream = await startUpstream(t)
  upstream.answer(handler)
  const broker = await startBroker(t, {
    config: `
allow_insecure_loopback: true
providers:
  strict: { credential: api_key, upstream: { base_url: "${upstream.origin}/v1"${setting} } }
`,
  })
  await addConfig(broker, { name: 'main', models: ['model-a'] })
  const key = await addKey(broker)
  return (body = { model: 'model-a' }) => ask(`${broker.origin}/v1/chat/completions`, { key, body })
}

/** Silent before the first byte, between two events, and in the middle of one. */
const haltingly =
  (headers: Record<string, string>): Handler =>
  async (_, response) => {
    response.writeHead(200, headers).flushHeaders()
    for (const part of ['data: 1\n\n', 'data: 2\n', '\ndata: 3', '\n\n']) {
      await sleep(1_300)
      response.write(part)
    }
    response.end('data: [DONE]\n\n')
  }

const EVENTS = 'data: 1\n\ndata: 2\n\ndata: 3\n\ndata: [DONE]\n\n'

t.test('a silent stream gets comments, between events only', async (t) => {
  const call = await setUp(t, ', keep_alive_seconds: 1', haltingly(EVENT_STREAM))
  const { body, isWhole } = await call()
  t.equal(body.toString(), `${COMMENT}data: 1\n\n${COMMENT}data: 2\n\ndata: 3\n\ndata: [DONE]\n\n`)
  t.equal(isWhole, true)
})

t.test('nothing is added where nobody asked, and to nothing that is not plain events', async (t) => {
  const silent = await setUp(t, '', haltingly(EVENT_STREAM))
  const other = await setUp(
    t,
    ', keep_alive_seconds: 1',
    haltingly({ 'content-type': 'application/x-ndjson' }),
  )
  const zipped = { ...EVENT_STREAM, 'content-encoding': 'gzip' }
  const compressed = await setUp(t, ', keep_alive_seconds: 1', haltingly(zipped))
  const sized = { ...EVENT_STREAM, 'content-length': String(EVENTS.length) }
  const known = await setUp(t, ', keep_alive_seconds: 1', haltingly(sized))
  for (const { body } of await Promise.all([silent(), other(), compressed(), known()]))
    t.equal(body.toString(), EVENTS)
})

t.test('however an event is cut, no comment falls inside', async (t) => {
  const line = fc.constantFrom('data: x', 'event: y', 'id: 1')
  const event = fc.array(line, { minLength: 1, maxLength: 3 })
  const stream = fc.record({
    events: fc.array(event, { maxLength: 4 }),
    lineEnd: fc.constantFrom('\n', '\r\n', '\r'),
    cuts: fc.array(fc.nat(80), { maxLength: 6 }),
  })
  const run = fc.check(
    fc.property(stream, ({ events, lineEnd, cuts }) => {
      const texts = events.map((lines) => lines.map((text) => text + lineEnd).join('') + lineEnd)
      const text = texts.join('')
      let written = ''
      const keepAlive = new KeepAlive(60_000, () => {})
      let at = 0
      for (const end of [...cuts.filter((cut) => cut < text.length).sort((a, b) => a - b), text.length]) {
        keepAlive.saw(Buffer.from(text.slice(at, end)))
        written += text.slice(at, end)
        at = end
        if (keepAlive.isBetweenEvents) written += COMMENT
      }
      keepAlive.stop()
      // Every event is there in one piece, and apart from comments there is nothing else.
      return written.replaceAll(COMMENT, '') === text && texts.every((one) => written.includes(one))
    }),
  )
  t.equal(run.failed, false, `seed ${run.seed}: ${fc.stringify(run.counterexample)}`)
})
