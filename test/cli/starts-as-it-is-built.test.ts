/** What users start: the bundle of `npm run build`, which must find all that lies beside it, from any directory. */
import { type ChildProcess, spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { ADMIN_TOKEN, call } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { freePort } from '../support/free-port.ts'

const MAIN = fileURLToPath(new URL('../../dist/server/main.js', import.meta.url))

interface Built {
  readonly origin: string
  readonly key: string
}

/** Resolves once it has printed the sandbox's key: the tables are there, and so are the presets. */
async function startBuilt(t: Test, env: Record<string, string>): Promise<Built> {
  const port = await freePort()
  const child = spawn(process.execPath, [MAIN, 'serve'], {
    cwd: tmpdir(),
    env: {
      PATH: process.env['PATH'],
      DATA_DIR: t.testdir(),
      PORT: String(port),
      ADMIN_TOKEN,
      SHUTDOWN_GRACE_SECONDS: '5',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => stop(child))
  const key = await new Promise<string>((resolve, reject) => {
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
      const found = /sk-tb-[\w-]{43}/.exec(output)?.[0]
      if (found) resolve(found)
    })
    child.once('exit', (code) => reject(new Error(`it ended with ${code}: ${output}`)))
  })
  return { origin: `http://127.0.0.1:${port}`, key }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  child.kill('SIGINT')
  await new Promise((resolve) => child.once('exit', resolve))
}

const chat = ({ origin, key }: Built) =>
  call(
    `${origin}/v1/chat/completions`,
    'POST',
    { model: 'sandbox-model', messages: [{ role: 'user', content: 'hi' }] },
    key,
  )

onEachDatabase(t, 'it migrates and answers a call', async (t, { url }) => {
  t.equal((await chat(await startBuilt(t, { DATABASE_URL: url }))).status, 200)
})

t.test('its workers are bundles, too', async (t) => {
  const built = await startBuilt(t, { WORKERS: '2' })
  for (let i = 0; i < 4; i += 1) t.equal((await chat(built)).status, 200)
})

t.test('it finds presets, the console and the pages of the docs', async (t) => {
  const { origin } = await startBuilt(t, {})
  const providers = await call(`${origin}/api/providers`, 'GET', undefined, ADMIN_TOKEN)
  t.match(JSON.stringify(providers.body), /"dashscope-intl"/)

  const page = await call(origin, 'GET')
  t.equal(page.status, 200)
  const script = /src="\.\/(assets\/[^"]+\.js)"/.exec(page.body)?.[1]
  t.equal((await call(`${origin}/${script}`, 'GET')).status, 200)
  t.equal((await call(`${origin}/token-broker-connect.js`, 'GET')).status, 200)

  t.match((await call(`${origin}/docs`, 'GET')).body, /swagger-ui/)
  t.equal((await call(`${origin}/docs/static/swagger-ui.css`, 'GET')).status, 200)
  t.match((await call(`${origin}/docs/static/swagger-initializer.js`, 'GET')).body, /data:image\/svg/)
  t.match((await call(`${origin}/openapi.json`, 'GET')).body, { paths: { '/api/keys': Object } })
})
