/** `errors.expired` of a provider file: answers that count as a 401, and all others, which are passed on as they are. */
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { login, must, startBroker } from '../support/broker.ts'
import { ask } from './fixtures/client.ts'
import { answerTo, connect } from './fixtures/realtime.ts'
import { addConfig, addKey, json, readAll } from './fixtures/upstream.ts'

const TEXT = 'Invalid access token'
const expired = [
  { status: 403, header: { 'X-Amzn-ErrorType': 'ExpiredTokenException' } },
  { status: 403, body: TEXT },
  { status: 400, header: { 'x-kind': 'token' }, body: TEXT },
]
const BODY = { model: 'model-a', messages: ['a body that is sent again'] }

interface Refusal {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string | Buffer
}

/** An endpoint that refuses in the words of the test, and a login at the sandbox behind a broker. */
async function setUp(t: Test) {
  const seen: { readonly token: string | undefined; readonly body: string }[] = []
  let refusal: Refusal | undefined
  let isLasting = false
  /** The first token that came, unless all are refused. */
  let refused: string | undefined
  const refusalOf = ({ headers: { authorization } }: IncomingMessage) => {
    refused ??= authorization
    return isLasting || refused === authorization ? refusal : undefined
  }
  const server = createServer(async (request, response) => {
    seen.push({ token: request.headers.authorization, body: (await readAll(request)).toString() })
    const how = refusalOf(request)
    if (how) response.writeHead(how.status, how.headers).end(how.body)
    else json(response, { ok: true })
  })
  server.on('upgrade', (request: IncomingMessage, socket) => {
    socket.on('error', () => {})
    seen.push({ token: request.headers.authorization, body: '' })
    const { status = 418, body = 'good enough a token' } = refusalOf(request) ?? {}
    socket.end(`HTTP/1.1 ${status} X\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const base_url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  const authorization_server = {
    device_authorization_endpoint: '{sandbox}/oauth/device/code',
    token_endpoint: '{sandbox}/oauth/token',
    client_id: 'token-broker-sandbox',
    scope: 'openid model.completion',
  }
  const own = { credential: 'device_code', authorization_server, upstream: { base_url }, errors: { expired } }
  const spare = { credential: 'api_key', upstream: { base_url } }
  const config = JSON.stringify({ allow_insecure_loopback: true, providers: { own, spare } })
  const broker = await startBroker(t, { config, sandbox: { accessTokenSeconds: 3_600 } })
  const account = { name: 'own', provider: 'own', oauth_session_id: await login(broker, 'own') }
  const { id } = await must(
    broker.admin('POST', '/api/models/configs', { ...account, models: [{ model_id: 'model-a' }] }),
  )
  const key = await addKey(broker, { model_config_ids: [id] })
  const refuse = (how: Refusal, more: { isLasting?: boolean } = {}) => {
    refusal = how
    isLasting = more.isLasting ?? false
    refused = undefined
    seen.length = 0
  }
  const chat = (withKey = key) => ask(`${broker.origin}/v1/chat/completions`, { key: withKey, body: BODY })
  return { broker, key, id: id as string, seen, refuse, chat }
}

const counts: readonly (readonly [why: string, Refusal])[] = [
  [
    'a header that holds the text',
    { status: 403, headers: { 'x-amzn-errortype': 'ExpiredTokenException:http://x/' }, body: '{}' },
  ],
  ['a text in the body', { status: 403, body: JSON.stringify({ message: `${TEXT} (x)` }) }],
  ['at the end of 4 KiB', { status: 403, body: 'x'.repeat(4096 - TEXT.length) + TEXT + 'x'.repeat(100_000) }],
  ['packed', { status: 403, headers: { 'content-encoding': 'gzip' }, body: gzipSync(TEXT) }],
  [
    'otherwise packed',
    {
      status: 403,
      headers: { 'content-encoding': 'br' },
      body: brotliCompressSync(TEXT.padEnd(9_000, 'xyz')),
    },
  ],
  ['all of a rule', { status: 400, headers: { 'X-Kind': 'token' }, body: TEXT }],
]
const passes: readonly (readonly [why: string, Refusal])[] = [
  ['no permission', { status: 403, body: '{"message":"You may not use this model"}' }],
  ['the text behind 4 KiB', { status: 403, body: 'x'.repeat(4097 - TEXT.length) + TEXT }],
  ['another status', { status: 404, body: TEXT }],
  ['half of a rule', { status: 400, headers: { 'x-kind': 'token' }, body: 'bad request' }],
  ['the other half', { status: 400, headers: { 'x-kind': 'other' }, body: TEXT }],
  ['what only says it is packed', { status: 403, headers: { 'content-encoding': 'gzip' }, body: TEXT }],
  ['a coding nobody knows', { status: 403, headers: { 'content-encoding': 'toString' }, body: TEXT }],
  [
    'what unpacks without end',
    {
      status: 403,
      headers: { 'content-encoding': 'br' },
      body: brotliCompressSync(Buffer.alloc(50_000_000)),
    },
  ],
  ['no body at all', { status: 403, body: '' }],
]

t.test('what fits a rule counts as 401: one renewal, and the same call once more', async (t) => {
  const { broker, id, seen, refuse, chat } = await setUp(t)
  for (const [why, refusal] of counts) {
    // What a refusal brought a moment ago is not renewed again.
    await must(broker.admin('POST', `/api/models/configs/${id}/refresh`))
    const { refreshRequests } = broker.sandbox.counts
    refuse(refusal)
    const answer = await chat()
    t.equal(answer.status, 200, why)
    t.equal(answer.headers['x-token-broker-trace'], 'config=own; attempt=2; refresh=forced')
    t.same(new Set(seen.map(({ body }) => body)), new Set([JSON.stringify(BODY)]))
    t.equal(new Set(seen.map(({ token }) => token)).size, 2)
    t.equal(broker.sandbox.counts.refreshRequests, refreshRequests + 1)
  }
})

t.test('what fits none comes back byte for byte, and renews nothing', async (t) => {
  const { broker, seen, refuse, chat } = await setUp(t)
  for (const [why, refusal] of passes) {
    refuse(refusal)
    const answer = await chat()
    t.equal(answer.status, refusal.status, why)
    t.ok(answer.body.equals(Buffer.from(refusal.body)), why)
    t.equal(seen.length, 1)
  }
  t.equal(broker.sandbox.counts.refreshRequests, 0)
})

t.test('one that renewing does not mend comes back byte for byte, without a loop', async (t) => {
  const { broker, seen, refuse, chat } = await setUp(t)
  const headers = { 'content-encoding': 'gzip', 'content-type': 'application/json' }
  const body = gzipSync(JSON.stringify({ message: TEXT, more: 'x'.repeat(200_000) }))
  for (const asked of [2, 1, 1]) {
    refuse({ status: 403, headers, body }, { isLasting: true })
    const answer = await chat()
    t.match(answer, { status: 403, headers, isWhole: true })
    t.ok(answer.body.equals(body))
    t.equal(seen.length, asked)
  }
  t.equal(broker.sandbox.counts.refreshRequests, 1)
})

t.test('the next config is asked, and this one rests for that key, as after a 401', async (t) => {
  const { broker, id, seen, refuse, chat } = await setUp(t)
  const spare = { name: 'spare', provider: 'spare', api_key: 'sk-spare', models: ['model-a'] }
  const key = await addKey(broker, { model_config_ids: [id, await addConfig(broker, spare)] })
  refuse({ status: 403, body: TEXT })
  broker.sandbox.faults.next('refresh', { status: 503 }, 9)
  const answer = await chat(key)
  t.equal(answer.status, 200)
  t.match(answer.headers['x-token-broker-trace'], /^config=spare; .*failover=own%3Arefresh_unavailable$/)
  t.same(seen.at(-1)?.token, 'Bearer sk-spare')
})

t.test("a handshake's token is renewed as well, and doctor knows what it means", async (t) => {
  const { broker, id, key, seen, refuse } = await setUp(t)
  refuse({ status: 403, body: TEXT })
  t.equal((await answerTo(connect({ v1: `${broker.origin}/v1`, key }))).status, 418)
  t.equal(seen.length, 2)
  t.equal(broker.sandbox.counts.refreshRequests, 1)
  const headers = { 'content-type': 'application/json' }
  refuse({ status: 403, headers, body: JSON.stringify({ message: TEXT }) }, { isLasting: true })
  const { body } = await broker.admin('POST', `/api/models/configs/${id}/diagnose`)
  t.equal(body.code, 'not_entitled', 'for it was renewed, and refused again')
  refuse({ status: 403, headers, body: JSON.stringify({ far: 'x'.repeat(4_096), message: TEXT }) })
  t.equal((await broker.admin('POST', `/api/models/configs/${id}/diagnose`)).body.code, 'unknown')
})
