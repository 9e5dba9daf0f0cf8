import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { NO_PROXY } from '../../src/http1/egress-proxy.ts'
import { patience } from '../../src/oauth/patience.ts'
import { ask } from '../../src/oauth/request.ts'
import { exchange } from '../../src/oauth/wire.ts'
import { createLoginAgent } from '../../src/upstream/agent.ts'

const SCRIPT = fileURLToPath(new URL('fixtures/refresh-in-a-process.ts', import.meta.url))
const TIMEOUT_MS = 4_000
/** How long after its request a process is stopped: in the first, the second and the third quarter of its patience. */
const STOPPED_AFTER_MS = [0, 1_200, 2_400]

/** Stops the process while its request is under way, answers meanwhile, and wakes it when its time is long up. */
async function answerWhileStopped(child: ChildProcess, response: ServerResponse, afterMs: number) {
  await setTimeout(afterMs)
  child.kill('SIGSTOP')
  await setTimeout(500)
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ access_token: 'access', refresh_token: 'next', expires_in: 60 }))
  await setTimeout(TIMEOUT_MS)
  child.kill('SIGCONT')
}

t.test('a process that was stopped for longer than it waits reads the answer that came', async (t) => {
  const waiting: { response: ServerResponse; wants: number }[] = []
  const server = createServer((request, response) => {
    request.resume()
    waiting.push({ response, wants: Number(request.url?.split('/')[1]) })
    server.emit('asked')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const outcomes = await Promise.all(
    STOPPED_AFTER_MS.map(async (afterMs, i) => {
      const args = [SCRIPT, `${origin}/${i}`, String(TIMEOUT_MS)]
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      t.teardown(() => child.kill('SIGKILL'))
      const said = text(child.stdout)
      const mine = () => waiting.find(({ wants }) => wants === i)
      while (!mine()) await once(server, 'asked')
      const { response } = mine() ?? {}
      if (response) await answerWhileStopped(child, response, afterMs)
      return JSON.parse(await said)
    }),
  )
  for (const [i, outcome] of outcomes.entries()) {
    const tokens = { accessToken: 'access', refreshToken: 'next' }
    t.match(outcome, { kind: 'tokens', tokens }, `stopped after ${STOPPED_AFTER_MS[i]} ms`)
  }
})

t.test('a tick that comes late does not count', async (t) => {
  const { signal, end } = patience(800)
  t.teardown(end)
  // What a stopped process does: nothing at all, for longer than its patience.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_000)
  let turns = 0
  signal.addEventListener('abort', () => t.ok(turns >= 3, `${turns} more ticks were waited`))
  const other = setInterval(() => {
    turns += 1
  }, 200)
  if (!signal.aborted) await once(signal, 'abort')
  clearInterval(other)
  t.ok(turns >= 3, 'time was up before anything could be read')
})

t.test('a process that is always late gives up all the same', async (t) => {
  const { signal, end } = patience(80)
  t.teardown(end)
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (let i = 0; i < 20 && !signal.aborted; i += 1) {
    Atomics.wait(pause, 0, 0, 100)
    await setTimeout(0)
  }
  t.equal(signal.aborted, true)
})

t.test('a server that never answers is given up, and why is said in words', async (t) => {
  const server = createServer(() => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const answer = await exchange(createLoginAgent(NO_PROXY), 400, (signal, dispatcher) =>
    ask(dispatcher, url, { headers: {}, signal }),
  )
  t.same(answer, { kind: 'unclear', why: 'no answer within 0.4 s' })
})
