/** `proxy` and `tls` of a provider file: of its token calls, its calls, its handshakes and of what doctor asks. */
import { once } from 'node:events'
import { renameSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { readProxies } from '../../src/base/proxy-settings.ts'
import { chooseProxy } from '../../src/http1/egress-proxy.ts'
import { toEgress } from '../../src/provider/egress.ts'
import { WaysOut } from '../../src/upstream/ways-out.ts'
import { ask } from '../gateway/fixtures/client.ts'
import { answerTo, connect } from '../gateway/fixtures/realtime.ts'
import { addKey } from '../gateway/fixtures/upstream.ts'
import { must, startBroker } from '../support/broker.ts'
import { type KeyPair, selfSigned } from '../support/certificates.ts'
import { startProxy } from '../support/connect-proxy.ts'

const OURS = selfSigned(['model.example', 'localhost'])
const BODY = { model: 'model-a' }

interface Endpoint {
  readonly port: number
  /** Of each request: what it was for, and whose certificate was shown. */
  readonly seen: string[]
  /** From now on nobody without one of these. */
  demand(pairs: readonly KeyPair[]): void
}

/** Issues tokens and answers calls, over TLS that nobody's system trusts. */
async function startEndpoint(t: Test): Promise<Endpoint> {
  const seen: string[] = []
  const server: Server = createServer(
    { ...OURS, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      seen.push(`${request.url} ${nameOf(request.socket)}`)
      const json = { 'content-type': 'application/json', connection: 'close' }
      const answer =
        request.url === '/token'
          ? { access_token: 'at-1', token_type: 'Bearer', expires_in: 3_600 }
          : { choices: [] }
      response.writeHead(200, json).end(JSON.stringify(answer))
    },
  )
  server.on('upgrade', (request, socket) => {
    seen.push(`${request.url} ${nameOf(request.socket)}`)
    socket.on('error', () => {})
    socket.end('HTTP/1.1 418 X\r\ncontent-length: 0\r\n\r\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const demand = (pairs: readonly KeyPair[]) =>
    server.setSecureContext({ ...OURS, ca: pairs.map(({ cert }) => cert) })
  return { port: (server.address() as AddressInfo).port, seen, demand }
}

/** Of a certificate that is trusted. */
function nameOf(socket: unknown): string {
  const tls = socket as TLSSocket
  return tls.authorized ? String(tls.getPeerCertificate().subject.CN) : 'nobody'
}

function fileOf(origin: string, more: object) {
  const authorization_server = {
    token_endpoint: `${origin}/token`,
    client_id: 'app',
    client_secret: 'canary-client-secret',
  }
  return {
    credential: 'client_credentials',
    authorization_server,
    upstream: { base_url: `${origin}/v1` },
    ...more,
  }
}

async function brokerOf(t: Test, providers: Record<string, object>, env: Record<string, string> = {}) {
  const broker = await startBroker(t, { config: JSON.stringify({ providers }), env })
  const v1 = `${broker.origin}/v1`
  const made = async (provider: string) => {
    const config = { name: provider, provider, models: [{ model_id: 'model-a' }] }
    const { id } = await must(broker.admin('POST', '/api/models/configs', config))
    const key = await addKey(broker, { model_config_ids: [id] })
    return { id: id as string, key, chat: () => ask(`${v1}/chat/completions`, { key, body: BODY }) }
  }
  return { broker, v1, made }
}

t.test('a proxy of its own, none, or that of all others: for everything that is asked there', async (t) => {
  const { port, seen } = await startEndpoint(t)
  const names = { 'model.example:443': port, [`localhost:${port}`]: port }
  const [own, general] = [await startProxy(t, names), await startProxy(t, names)]
  const ca_file = `${t.testdir({ 'ca.pem': OURS.cert })}/ca.pem`
  const tls = { ca_file }
  const there = 'https://model.example'
  const { broker, v1, made } = await brokerOf(
    t,
    {
      own: fileOf(there, { tls, proxy: own.url }),
      named: fileOf(there, { tls, proxy: 'env:OWN_PROXY' }),
      none: fileOf(`https://localhost:${port}`, { tls, proxy: 'none' }),
      general: fileOf(there, { tls }),
    },
    { HTTPS_PROXY: general.url, OWN_PROXY: own.url },
  )
  for (const [provider, through] of [
    ['own', own],
    ['named', own],
    ['none', undefined],
    ['general', general],
  ] as const) {
    for (const proxy of [own, general]) proxy.asked.length = 0
    seen.length = 0
    const { id, key, chat } = await made(provider)
    t.equal((await chat()).status, 200, provider)
    t.equal((await answerTo(connect({ v1, key }))).status, 418, provider)
    t.match(await broker.admin('POST', `/api/models/configs/${id}/diagnose`), { body: { ok: true } })
    t.same(
      seen.map((line) => line.split(' ')[0]),
      ['/token', '/v1/chat/completions', '/v1/realtime?model=model-a', '/v1/chat/completions'],
    )
    for (const proxy of [own, general]) t.equal(proxy.asked.length, proxy === through ? 4 : 0, provider)
  }
  t.notMatch(general.heard.join(), /canary-client-secret|at-1/)
})

t.test('none is none, also where all others have one', async (t) => {
  const { proxyFor } = new WaysOut(chooseProxy(readProxies({ HTTPS_PROXY: 'http://proxy.example' }))).of(
    toEgress({ proxy: 'none' }, {}, false),
  )
  t.equal(proxyFor(new URL('https://model.example')), undefined)
})

t.test('whom a file trusts, it alone trusts', async (t) => {
  const { port, seen } = await startEndpoint(t)
  const dir = t.testdir({
    'ca.pem': OURS.cert,
    'other.pem': selfSigned(['other.example']).cert,
    'none.pem': 'no pem',
  })
  const of = (name: string | undefined) =>
    fileOf(`https://localhost:${port}`, name === undefined ? {} : { tls: { ca_file: `${dir}/${name}` } })
  const { broker, made } = await brokerOf(t, {
    trusting: of('ca.pem'),
    plain: of(undefined),
    other: of('other.pem'),
    gone: of('gone.pem'),
    unreadable: of('none.pem'),
  })
  t.equal((await (await made('trusting')).chat()).status, 200)
  const before = seen.length
  for (const [provider, why] of [
    ['plain', /DEPTH_ZERO_SELF_SIGNED_CERT/],
    ['other', /DEPTH_ZERO_SELF_SIGNED_CERT/],
    ['gone', /TLS_FILES_UNREADABLE/],
    ['unreadable', /TLS_FILES_UNREADABLE|DEPTH_ZERO_SELF_SIGNED_CERT/],
  ] as const) {
    const { id, chat } = await made(provider)
    t.equal((await chat()).status, 503, provider)
    t.match(
      JSON.stringify((await broker.admin('GET', `/api/models/configs/${id}`)).body.credential.reason),
      why,
      provider,
    )
  }
  t.equal(seen.length, before)
})

t.test('a certificate is shown, and exchanged without a restart', async (t) => {
  const { port, seen, demand } = await startEndpoint(t)
  const [first, second] = [selfSigned(['first']), selfSigned(['second'])]
  demand([first, second])
  const dir = t.testdir({ 'ca.pem': OURS.cert, 'cert.pem': first.cert, 'key.pem': first.key })
  const tls = { ca_file: `${dir}/ca.pem`, certificate_file: `${dir}/cert.pem`, key_file: `${dir}/key.pem` }
  const { v1, made } = await brokerOf(t, { mine: fileOf(`https://localhost:${port}`, { tls }) })
  const { key, chat } = await made('mine')
  t.equal((await chat()).status, 200)
  t.same(seen, ['/token first', '/v1/chat/completions first'])
  for (const [name, text] of [
    ['cert', second.cert],
    ['key', second.key],
  ] as const) {
    writeFileSync(`${dir}/${name}.new`, text)
    renameSync(`${dir}/${name}.new`, `${dir}/${name}.pem`)
  }
  t.equal((await chat()).status, 200)
  t.equal((await answerTo(connect({ v1, key }))).status, 418)
  t.same(seen.slice(2), ['/v1/chat/completions second', '/v1/realtime?model=model-a second'])
})

t.test('a file in which a config may name any host leaves to public addresses only', async (t) => {
  const ways = new WaysOut(chooseProxy(readProxies({})))
  const { proxyFor } = ways.of(toEgress({}, {}, true))
  t.equal(proxyFor(new URL('https://model.example')), 'public only')
  t.equal(ways.of(undefined).proxyFor(new URL('https://model.example')), undefined, 'and no other file')
  const behind = new WaysOut(chooseProxy(readProxies({ HTTPS_PROXY: 'http://proxy.example' })))
  t.equal(behind.of(toEgress({}, {}, true)).proxyFor(new URL('https://model.example')), 'nowhere')
  const own = behind.of(toEgress({ proxy: 'none' }, {}, true))
  t.equal(own.proxyFor(new URL('https://model.example')), 'public only')
  t.throws(() => toEgress({ proxy: 'http://proxy.example:3128' }, {}, true), { message: /any_host/ })
})
