import t from 'tap'
import { upstreamPath } from '../../src/upstream/resource-url.ts'
import { rawExchange } from './fixtures/client.ts'
import { type Setup, setUp, startUpstream } from './fixtures/upstream.ts'

/** Sends the request target as it is, which no HTTP client would. */
async function send({ broker, key }: Setup, target: string, head = 'Host: broker\r\n'): Promise<string> {
  const text = await rawExchange(
    broker.origin,
    `GET ${target} HTTP/1.1\r\n${head}Authorization: Bearer ${key}\r\nConnection: close\r\n\r\n`,
  )
  return text
}

function statusOf(text: string): number {
  return Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1])
}

t.test('targets that name another host, or climb, reach nobody', async (t) => {
  const setup = await setUp(t)
  const elsewhere = await startUpstream(t)
  const { host } = new URL(elsewhere.origin)
  const targets = [
    `http://${host}/v1/models`,
    `https://${host}/v1/models`,
    `//${host}/v1/models`,
    `///${host}/v1/models`,
    `/\\${host}/v1/models`,
    `\\\\${host}\\v1\\models`,
    `/v1//${host}/models`,
    `/v1/http://${host}/models`,
    `/v1/..//${host}/models`,
    `@${host}/v1/models`,
    `/v1@${host}/models`,
    '/v1/../admin',
    '/v1/x/../../admin',
    '/v1/%2e%2e/admin',
    '/v1/%2E%2E%2Fadmin',
    '/v1/..%2fadmin',
    '/v1/..%5cadmin',
    '/v1/.%2e/admin',
    '/v1/%252e%252e/admin',
    '/v1/./models',
    '/v1/models%00',
    '/v1/models%0d%0ax:y',
    '/v1/%zz',
    '/v1/%',
    '/v1/%c0%ae%c0%ae/admin',
    '/v1/models#x',
    '/v1/"models"',
    '/v1/<models>',
    '/%76%31/../models',
    '/V1/models',
    '/v1x/models',
  ]
  for (const target of targets) {
    const text = await send(setup, target)
    const status = statusOf(text)
    t.ok(status === 400 || status === 404, `${status} ${target}`)
  }
  t.equal(elsewhere.calls.length, 0)
  t.same(
    setup.upstream.calls.map((call) => call.url),
    [],
  )
})

/** Two dots, or one, as some server or other takes them for a step up. */
const DOTS =
  `.. %2e%2e .%2e %2e. %2E%2E ..; ..;x=y ..%3b ..%3Bx ..%20 %20.. .%20. ..%20. ..%09 ..%00 ..%0d%0a ..%c2%a0
%e2%80%8b.. .%e2%80%8b. ..%ef%bb%bf %252e%252e %25252e%25252e .%252e %uff0e%uff0e %ef%bc%8e%ef%bc%8e .%ef%bc%8e
%e2%80%a4%e2%80%a4 %e2%80%a5 %ef%b9%92%ef%b9%92 %c0%ae%c0%ae %e0%80%ae%e0%80%ae %c0%2e%c0%2e %ae%ae ..%23 ..%3f ..\\x
..%5cx ..%255c ..%ef%bc%bcx . %2e .; .;a ;a ; %3b %20 %e3%80%80`.split(/\s+/)
const SLASHES = '/ %2f %2F %ef%bc%8f %252f \\ %5c'.split(' ')

t.test('no spelling of a dot segment passes', async (t) => {
  for (const dots of DOTS) {
    for (const slash of SLASHES) {
      for (const target of [
        `/v1/x${slash}${dots}${slash}admin`,
        `/v1/x${slash}${dots}`,
        `/v1/${dots}${slash}x`,
      ])
        t.throws(() => upstreamPath(target, '/base/v1'), { code: 'invalid_path' }, target)
    }
  }
  const setup = await setUp(t)
  for (const dots of DOTS) {
    const status = statusOf(await send(setup, `/v1/x/${dots}/admin`))
    t.ok(status === 400 || status === 404, `${status} ${dots}`)
  }
  t.equal(setup.upstream.calls.length, 0)
})

t.test('encoded slashes, and dots that lead nowhere, pass as they came', async (t) => {
  const setup = await setUp(t)
  const paths = `/models/org%2Fname /models/org%2fname%2Fv2 /models/a%3Ab /files/..a /files/a.. /files/... /files/a..b/.c
/models/%E6%A8%A1%E5%9E%8B /models/x;v=1 /models/a%20b /models/org%2Fname/ /files/a%2eb /models/@cf%2Fmeta?x=%2e%2e%2f..`
  for (const path of paths.split(/\s+/)) {
    t.equal(statusOf(await send(setup, `/v1${path}`)), 200, path)
    t.equal(setup.upstream.calls.at(-1)?.url, `/base/v1${path}`)
  }
})

t.test('whatever is accepted stays below the base URL', async (t) => {
  const setup = await setUp(t)
  const targets = [
    '/v1/models',
    '/v1/models/org%3Amodel',
    '/v1/models/a@b:c',
    '/v1/models?x=//evil&y=../..&z=%2e%2e',
    '/v1/models/...',
    '/v1/',
    '/v1',
    '/%76%31/models',
  ]
  for (const target of targets) {
    const status = statusOf(await send(setup, target))
    t.ok(status === 200 || status === 400 || status === 404, `${status} ${target}`)
  }
  for (const { url = '' } of setup.upstream.calls) t.match(url, /^\/base\/v1(?:[/?]|$)/)
  t.equal(setup.upstream.calls.length, 5, 'all but /v1 itself and what is no /v1')
})

t.test('the Host header decides nothing', async (t) => {
  const setup = await setUp(t)
  const elsewhere = await startUpstream(t)
  const { host } = new URL(elsewhere.origin)
  for (const head of [
    `Host: ${host}\r\n`,
    `Host: a\r\nX-Forwarded-Host: ${host}\r\n`,
    `Host: a\r\nForwarded: host=${host}\r\n`,
  ]) {
    t.equal(statusOf(await send(setup, '/v1/models', head)), 200)
  }
  t.equal(elsewhere.calls.length, 0)
  t.equal(setup.upstream.calls.length, 3)
  for (const call of setup.upstream.calls) t.equal(call.headers.host, new URL(setup.upstream.origin).host)
})
