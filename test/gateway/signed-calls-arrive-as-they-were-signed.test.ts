/**
 * Calls of `aws_sigv4`, at an endpoint that has AWS's own library sign again what arrives on the wire.
 */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import OpenAI from 'openai'
import t, { type Test } from 'tap'
import type { AwsKeys } from '../../src/base/aws-signature.ts'
import { refusalOf } from '../support/aws-server.ts'
import { must, startBroker } from '../support/broker.ts'
import { ask } from './fixtures/client.ts'
import { answerTo, connect } from './fixtures/realtime.ts'
import { addKey, type Handler, json, readAll } from './fixtures/upstream.ts'

const PLACE = { region: 'us-east-1', service: 'bedrock-mantle' }
const KEYS: AwsKeys = {
  accessKeyId: 'AKIDOFENVIRONMENT',
  secretAccessKey: 'aws-canary-secret-of-the-environment/0123',
  sessionToken: 'aws-canary-session-token==',
}
const BODY = { model: 'model-a', messages: [{ role: 'user', content: 'hi' }] }

function profile({ accessKeyId, secretAccessKey, sessionToken }: AwsKeys): string {
  return `[other]\naws_access_key_id = no\n[default]\naws_access_key_id=${accessKeyId}\n# x\naws_secret_access_key = ${secretAccessKey}\naws_session_token = ${sessionToken}\n`
}

/** Keys that the endpoint takes, and one config for each provider. */
async function setUp(t: Test) {
  const known = new Map([[KEYS.accessKeyId, KEYS]])
  const calls: { readonly path: string; readonly body: Buffer; readonly refusal: string | undefined }[] = []
  let handler: Handler = (_, response) => json(response, { ok: true })
  const server = createServer(async (request, response) => {
    const body = await readAll(request)
    const refusal = await refusalOf(request, body, known, PLACE)
    calls.push({ path: request.url ?? '', body, refusal })
    if (refusal === undefined) {
      handler(request, response)
      return
    }
    response
      .writeHead(403, { 'x-amzn-errortype': 'InvalidSignatureException' })
      .end(JSON.stringify({ refusal }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const base_url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/openai/v1`
  const of = (aws: object, upstream: object = {}) => ({
    credential: 'aws_sigv4',
    aws_sigv4: { ...PLACE, credentials: ['env'], ...aws },
    upstream: { base_url, ...upstream },
    errors: { expired: [{ status: 403, header: { 'x-amzn-errortype': 'InvalidSignatureException' } }] },
  })
  const file = `${t.testdir({ credentials: profile(KEYS) })}/credentials`
  const providers = {
    plain: of(
      {},
      { query: { 'api-version': '1' }, routes: [{ prefix: '/messages', base_url: '/anthropic/v1' }] },
    ),
    streams: of({ unsigned_payload: true }),
    region: of({ region: 'us-west-2' }),
    service: of({ service: 'bedrock' }),
    file: of({ credentials: ['container', 'file', 'imds'] }),
    none: of({ credentials: ['web_identity', 'container'] }),
  }
  const broker = await startBroker(t, {
    config: JSON.stringify({ allow_insecure_loopback: true, providers }),
    env: {
      AWS_ACCESS_KEY_ID: KEYS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: KEYS.secretAccessKey,
      AWS_SESSION_TOKEN: KEYS.sessionToken,
      AWS_SHARED_CREDENTIALS_FILE: file,
      ALLOW_TOKEN_READING: 'true',
    },
  })
  const keyOf = async (...names: (keyof typeof providers)[]) => {
    const ids: string[] = []
    for (const provider of names) {
      const config = {
        name: `${provider}-${calls.length}-${ids.length}`,
        provider,
        models: [{ model_id: 'model-a' }],
      }
      ids.push((await must(broker.admin('POST', '/api/models/configs', config))).id)
    }
    return {
      key: await addKey(broker, { model_config_ids: ids }),
      id: ids[0] ?? '',
      name: `${names[0]}-${calls.length}-0`,
    }
  }
  const answer = (next: Handler) => {
    handler = next
  }
  return { broker, calls, known, file, keyOf, answer, v1: `${broker.origin}/v1` }
}

t.test('whatever a client asks, the endpoint finds it signed', async (t) => {
  const { calls, keyOf, v1 } = await setUp(t)
  const { key, name } = await keyOf('plain')
  const targets = [
    '/chat/completions',
    '/chat/completions?b=%20x&a=1+2&a=%2B&B=&c',
    "/files/a%2Fb:c@d!$&'()*,;=~/content",
    '/messages/count_tokens?beta=true',
    '/models/%E6%A8%A1%E5%9E%8B/',
  ]
  for (const target of targets) {
    for (const body of [undefined, BODY, { ...BODY, model: `${name}/model-a` }]) {
      const headers = { 'x-amz-date': '20200101T000000Z', accept: 'a,  b', 'anthropic-version': '1' }
      const answer = await ask(v1 + target, { key, headers, ...(body && { body }) })
      t.equal(answer.status, 200, `${target} ${calls.at(-1)?.refusal}`)
      if (body) t.same(JSON.parse(String(calls.at(-1)?.body)), BODY)
    }
  }
  t.match(calls[9], { path: '/anthropic/v1/messages/count_tokens?beta=true&api-version=1' })
  const headers = { 'content-type': 'application/json; charset=utf-8', 'content-encoding': 'gzip' }
  t.equal(
    (await ask(`${v1}/chat/completions`, { key, headers, body: gzipSync(JSON.stringify(BODY)) })).status,
    200,
  )
})

t.test("OpenAI's client streams a completion", async (t) => {
  const { broker, keyOf, answer, v1 } = await setUp(t)
  answer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const content of ['Hel', 'lo'])
      response.write(`data: {"choices":[{"delta":{"content":"${content}"}}]}\n\n`)
    response.end('data: [DONE]\n\n')
  })
  const { key, id } = await keyOf('plain')
  const client = new OpenAI({ baseURL: v1, apiKey: key, maxRetries: 0 })
  const stream = await client.chat.completions.create({ model: 'model-a', messages: [], stream: true })
  let text = ''
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content
  t.equal(text, 'Hello')
  answer((_, response) => json(response, { choices: [] }))
  t.match(await broker.admin('POST', `/api/models/configs/${id}/diagnose`), { body: { ok: true } })
  t.match(await broker.admin('GET', `/api/models/configs/${id}`), {
    body: { credential: { kind: 'aws_sigv4', state: 'active', next_action: 'none' } },
  })
})

t.test('for another service or region it is not good, and that is told once', async (t) => {
  const { calls, keyOf, v1 } = await setUp(t)
  for (const provider of ['region', 'service'] as const) {
    const { key } = await keyOf(provider)
    const before = calls.length
    const answer = await ask(`${v1}/chat/completions`, { key, body: BODY })
    t.match(JSON.parse(answer.body.toString()), { refusal: 'another service or region' })
    t.equal(calls.length, before + 1, 'there are no other keys to try')
  }
})

t.test(
  'keys that were exchanged in their file just after a refusal are not looked for again within a minute',
  async (t) => {
    const { calls, known, file, keyOf, v1 } = await setUp(t)
    const { key, name } = await keyOf('file')
    const chat = () => ask(`${v1}/chat/completions`, { key, body: { ...BODY, model: `${name}/model-a` } })
    t.equal((await chat()).status, 200)
    const newer = {
      accessKeyId: 'AKIDNEWER',
      secretAccessKey: 'aws-canary-newer-secret/0123456789',
      sessionToken: 'aws-canary-newer',
    }
    known.clear()
    known.set(newer.accessKeyId, newer)
    t.equal((await chat()).status, 403)
    writeFileSync(file, profile(newer))
    calls.length = 0
    t.equal((await chat()).status, 403, 'not again within a minute')
    t.equal(calls.length, 1)
  },
)

t.test(
  'keys that were exchanged in their file are found after a refusal, and the call is signed anew',
  async (t) => {
    const { known, file, keyOf, v1 } = await setUp(t)
    const { key } = await keyOf('file')
    const chat = () => ask(`${v1}/chat/completions`, { key, body: BODY })
    t.equal((await chat()).status, 200)
    const newer = {
      accessKeyId: 'AKIDNEWER',
      secretAccessKey: 'aws-canary-newer-secret/0123456789',
      sessionToken: 'aws-canary-newer',
    }
    known.clear()
    known.set(newer.accessKeyId, newer)
    writeFileSync(file, profile(newer))
    const answer = await chat()
    t.equal(answer.status, 200)
    t.match(answer.headers['x-token-broker-trace'], /attempt=2; refresh=forced/)
    t.match((await chat()).headers['x-token-broker-trace'], /attempt=1; refresh=none/)
  },
)

t.test('the next config signs for itself', async (t) => {
  const { calls, keyOf, answer, v1 } = await setUp(t)
  const statuses = [429, 200]
  answer((_, response) => json(response, {}, statuses.shift()))
  const { key } = await keyOf('plain', 'file')
  t.equal((await ask(`${v1}/chat/completions`, { key, body: BODY })).status, 200)
  t.same(
    calls.map(({ path }) => path),
    ['/openai/v1/chat/completions?api-version=1', '/openai/v1/chat/completions'],
  )
})

t.test(
  'what cannot be signed is refused before anything is sent, unless the file lets it go unsigned',
  async (t) => {
    const { calls, keyOf, v1 } = await setUp(t)
    const headers = { 'content-type': 'application/octet-stream' }
    const { key } = await keyOf('plain')
    const refused = await ask(`${v1}/files`, { key, headers, body: 'abc' })
    t.equal(refused.status, 413)
    t.match(refused.body.toString(), /signed bodies only.*request_too_large/)
    t.match(await answerTo(connect({ v1, key })), { status: 426, body: /websocket_not_served/ })
    t.equal(calls.length, 0)
    const { key: streams } = await keyOf('streams')
    t.equal((await ask(`${v1}/files`, { key: streams, headers, body: 'abc' })).status, 200)
    t.match(calls, [{ body: Buffer.from('abc'), refusal: undefined }])
  },
)

t.test('without keys a call is told so, and keys are handed out to nobody', async (t) => {
  const { broker, calls, keyOf, v1 } = await setUp(t)
  const { key, id } = await keyOf('none')
  const answer = await ask(`${v1}/chat/completions`, { key, body: BODY })
  t.equal(answer.status, 401)
  t.match(answer.body.toString(), /credential_refused/)
  t.equal(answer.headers['x-should-retry'], 'false')
  t.equal(calls.length, 0)
  const { body } = await broker.admin('POST', `/api/models/configs/${id}/diagnose`)
  t.match(JSON.stringify(body.checks), /none of web_identity, container is configured/)
  t.match((await broker.admin('GET', `/api/models/configs/${id}`)).body.credential, {
    state: 'refused',
    next_action: 'edit_inputs',
    reason: 'none of web_identity, container is configured',
  })
  const open = await keyOf('plain')
  t.match(await broker.admin('POST', `/api/models/configs/${open.id}/token`), {
    status: 409,
    body: { code: 'no_token' },
  })
})
