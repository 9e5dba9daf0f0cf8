import { existsSync, globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import Fastify from 'fastify'
import t from 'tap'
import { consoleRoutes } from '../../src/admin/console-routes.ts'
import { startBroker } from '../support/broker.ts'

const BUILT = fileURLToPath(new URL('../../dist/console/', import.meta.url))
const KILOBYTE = 1_000

function gzipped(pattern: string): number {
  const files = globSync(pattern, { cwd: BUILT })
  return files.reduce((sum, file) => sum + gzipSync(readFileSync(BUILT + file)).length, 0)
}

t.test('the element and the console keep to their budgets', async (t) => {
  t.ok(existsSync(`${BUILT}index.html`), 'npm run build has run')
  const element = gzipped('token-broker-connect.js')
  t.ok(element > 0 && element <= 25 * KILOBYTE, `the element: ${element} bytes gzipped`)
  const all = gzipped('index.html') + gzipped('assets/*.{js,css,svg}')
  t.ok(all > element && all <= 90 * KILOBYTE, `the console: ${all} bytes gzipped`)
})

t.test('assets come compressed and are kept, the page is not', async (t) => {
  const { origin } = await startBroker(t)
  const page = await fetch(origin)
  t.equal(page.headers.get('cache-control'), 'no-cache')
  t.equal(page.headers.get('x-content-type-options'), 'nosniff')
  const script = /src="\.\/(assets\/[^"]+\.js)"/.exec(await page.text())?.[1] ?? ''
  for (const encoding of ['gzip', 'br']) {
    const asset = await fetch(`${origin}/${script}`, { headers: { 'accept-encoding': encoding } })
    t.equal(asset.headers.get('content-encoding'), encoding)
    t.match(asset.headers.get('cache-control'), /immutable/)
    await asset.arrayBuffer()
  }
  const element = await fetch(`${origin}/token-broker-connect.js`, {
    headers: { origin: 'https://anywhere.example' },
  })
  t.equal(element.headers.get('access-control-allow-origin'), '*')
  t.match(element.headers.get('content-type'), /javascript/)
  for (const path of [
    '/assets/../index.html',
    '/assets/%2e%2e/%2e%2e/package.json',
    '/assets/none.js',
    '/index.html',
  ]) {
    t.equal((await fetch(origin + path)).status, 404, path)
  }
})

t.test('where nothing was built, the page says what to run', async (t) => {
  const fastify = Fastify()
  await fastify.register((scope) => consoleRoutes(scope, '', { built: `${t.testdir()}/` }))
  const answer = await fastify.inject('/')
  t.equal(answer.statusCode, 503)
  t.match(answer.body, /npm run build/)
})
