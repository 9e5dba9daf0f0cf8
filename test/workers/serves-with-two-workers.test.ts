/** `WORKERS=2`: real processes; refreshes run in the primary, and a worker that dies is replaced. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { ADMIN_TOKEN, call } from '../support/broker.ts'
import { freePort } from '../support/free-port.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

interface Running {
  readonly process: ChildProcess
  readonly origin: string
  readonly key: string
  /** Everything printed so far. */
  readonly output: () => string
}

async function startProcess(t: Test, env: Record<string, string>): Promise<Running> {
  const dataDir = mkdtempSync(join(tmpdir(), 'token-broker-workers-'))
  const port = await freePort()
  let output = ''
  const child = spawn(process.execPath, [MAIN, 'serve'], {
    env: {
      ...process.env,
      DATA_DIR: dataDir,
      PORT: String(port),
      ADMIN_TOKEN,
      SHUTDOWN_GRACE_SECONDS: '5',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout.on('data', (chunk) => (output += chunk))
  child.stderr.on('data', (chunk) => (output += chunk))
  t.teardown(async () => {
    if (child.exitCode === null) {
      child.kill('SIGINT')
      await new Promise((resolve) => child.once('exit', resolve))
    }
    rmSync(dataDir, { recursive: true, force: true })
  })
  const key = await until(() => /sk-tb-[\w-]{43}/.exec(output)?.[0])
  return { process: child, origin: `http://127.0.0.1:${port}`, key, output: () => output }
}

async function until<T>(look: () => T | undefined): Promise<T> {
  for (let i = 0; i < 600; i += 1) {
    const found = look()
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('it did not happen')
}

const chat = (running: Running) =>
  call(
    `${running.origin}/v1/chat/completions`,
    'POST',
    { model: 'sandbox-model', messages: [{ role: 'user', content: 'hi' }] },
    running.key,
  )

t.test('one refresh serves all workers, counters are added up, and a dead worker is replaced', async (t) => {
  const running = await startProcess(t, { WORKERS: '2' })
  const admin = (method: string, path: string) => call(running.origin + path, method, undefined, ADMIN_TOKEN)
  const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await chat(running)).status))
  t.same(new Set(statuses), new Set([200]))

  const [config] = (await admin('GET', '/api/models/configs')).body.items
  const refreshed = await Promise.all(
    Array.from({ length: 4 }, () => admin('POST', `/api/models/configs/${config.id}/refresh`)),
  )
  t.same(new Set(refreshed.map(({ status }) => status)), new Set([200]))
  t.equal((await chat(running)).status, 200, 'with the new token')
  const metrics = (await admin('GET', '/metrics')).body
  t.match(metrics, /token_broker_answers_total\{status="2xx"\} 21/)
  t.match(metrics, /token_broker_refreshes_total\{outcome="renewed"\} \d/)

  const children = await childrenOf(running.process.pid ?? 0)
  t.equal(children.length, 2)
  process.kill(children[0] ?? 0, 'SIGKILL')
  await until(() => (running.output().includes('a worker ended') ? true : undefined))
  for (let i = 0; i < 10; i += 1) t.equal((await chat(running)).status, 200, 'the other one serves on')
})

t.test('SIGTERM: not ready at once, a stream that runs is finished, and the exit code is 0', async (t) => {
  const running = await startProcess(t, { WORKERS: '2', SHUTDOWN_GRACE_SECONDS: '3' })
  const response = await fetch(`${running.origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'sandbox-model',
      stream: true,
      messages: [{ role: 'user', content: 'a long answer '.repeat(40) }],
    }),
  })
  running.process.kill('SIGTERM')
  await new Promise((resolve) => setTimeout(resolve, 200))
  t.equal((await call(`${running.origin}/health/ready`, 'GET')).status, 503)
  t.match(await response.text(), /data: \[DONE\]\n\n$/)
  const code = await new Promise((resolve) => running.process.once('exit', resolve))
  t.equal(code, 0)
})

async function childrenOf(pid: number): Promise<number[]> {
  const { readdirSync, readFileSync } = await import('node:fs')
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/stat`, 'utf8').split(') ')[1]?.split(' ')[1] === String(pid)
      } catch {
        return false
      }
    })
    .map(Number)
}
