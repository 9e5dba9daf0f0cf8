/** Whoever our own questions are asked of may answer without end: bounded, judged and hung up. */
import type { ServerResponse } from 'node:http'
import t from 'tap'
import { addConfig, setUp, UPSTREAM_KEY } from '../gateway/fixtures/upstream.ts'

const MIB = 1024 * 1024
/** A reader that would read on could be made to hold this much. */
const PATIENCE_BYTES = 64 * MIB
const CHUNK = Buffer.alloc(64 * 1024, ' ')

/** Sends until the reader hangs up, or has taken far more than it needs; tells which. */
function endless(response: ServerResponse, status: number): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  let sent = 0
  response.writeHead(status, { 'content-type': 'application/json' })
  response.write('{"error": {"message": "it goes on')
  const pour = () => {
    while (sent < PATIENCE_BYTES && !response.destroyed) {
      sent += CHUNK.length
      if (!response.write(CHUNK)) return void response.once('drain', pour)
    }
    if (!response.destroyed) response.destroy()
  }
  response.once('close', () => resolve(sent))
  pour()
  return promise
}

t.test('doctor and the connection test read the beginning, say what it was and hang up', async (t) => {
  const { broker, configId, upstream } = await setUp(t)
  for (const status of [200, 400, 401, 403, 429, 500]) {
    let sent: Promise<number> | undefined
    upstream.answer((_, response) => {
      sent = endless(response, status)
    })
    const diagnosis = await broker.admin('POST', `/api/models/configs/${configId}/diagnose`)
    t.match(diagnosis, { status: 200, body: { upstream_status: status } })
    t.ok(((await sent) ?? PATIENCE_BYTES) < 32 * MIB, `${status}: after ${(await sent) ?? 0} bytes`)

    sent = undefined
    const tested = await broker.admin('POST', '/api/models/configs/test-connection', {
      base_url: `${upstream.origin}/v1`,
      api_key: UPSTREAM_KEY,
      model_id: 'model-a',
    })
    t.match(tested, { status: 200, body: { success: status === 200 } })
    if (status !== 200) t.match(tested.body.message, String(status))
    t.ok(((await sent) ?? PATIENCE_BYTES) < 32 * MIB, `${status}: the test as well`)
  }
})

t.test('an answer whose first bytes are all there is to judge is judged by them', async (t) => {
  const { broker, upstream } = await setUp(t)
  const configId = await addConfig(broker, { name: 'second', models: ['model-b'] })
  upstream.answer((_, response) => {
    response.writeHead(403, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ error: { code: 'insufficient_quota', message: 'x'.repeat(MIB) } }))
  })
  const { body } = await broker.admin('POST', `/api/models/configs/${configId}/diagnose`)
  t.equal(body.code, 'quota')
})
