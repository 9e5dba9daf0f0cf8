/**
 * F19: another process holds SQLite's write lock, while streams run, calls come and something is to be written.
 *
 * A second stream, and calls, straight to upstream show what gaps the machine makes by itself.
 */
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import SqliteDatabase from 'better-sqlite3'
import { createConfigAndKey } from '../../support/broker.ts'
import { startBroker } from '../broker.ts'
import type { Gate } from '../lab.ts'
import { callOnce, failuresOf, isFailed, Load, slowest } from '../load.ts'
import { openSandbox } from '../stage.ts'

const MAX_MS = 100
/** Beside other tests: far below what a thread stands still that waits for a lock. */
const MAX_BUSY_MS = 1_000
const CHUNK_EVERY_MS = 10
const CALLS_PER_SECOND = 20
/** Many wait for the lock: what they do meanwhile, and once it is free, is felt by others. */
const WRITES_PER_SECOND = 100
const NORMAL_WITHIN_MS = 5_000
/** What waited for the lock is written, and nobody stands still for that either. */
const AFTERWARDS_MS = 2_000
const MODEL = 'ticking'

export const lockElsewhere: Gate = {
  id: 'F19',
  title: "SQLite's write lock is held elsewhere",
  database: 'SQLite',
  async run(lab) {
    const lockedMs = lab.size(10_000, 4_000)
    const maxMs = lab.size(MAX_MS, MAX_BUSY_MS)
    const upstream = await startTicking()
    lab.teardown(() => upstream.close())
    const broker = await startBroker(lab, {
      databaseUrl: 'sqlite:',
      sandbox: (await openSandbox(lab)).origin,
      providers: { own: { credential: 'api_key', upstream: { base_url: `${upstream.origin}/v1` } } },
    })
    const config = { name: 'own', provider: 'own', models: [{ model_id: MODEL }], api_key: 'sk-own' }
    const { key } = await createConfigAndKey(broker, config)
    await broker.complete(key, MODEL)
    const streams = [await openStream(broker.origin, key), await openStream(upstream.origin, 'sk-own')]
    await sleep(500)

    const other = new SqliteDatabase(join(broker.dataDir, 'token-broker.sqlite'), { timeout: 5_000 })
    lab.teardown(() => other.close())
    other.exec('begin immediate')
    for (const stream of streams) stream.forget()
    const lives = new Load(CALLS_PER_SECOND, () => broker.call('GET', '/health/live'))
    const others = new Load(CALLS_PER_SECOND, () => plainCall(upstream.origin))
    const calls = new Load(CALLS_PER_SECOND, () => broker.complete(key, MODEL))
    const writes = new Load(WRITES_PER_SECOND, () => broker.admin('POST', '/api/keys', { name: 'written' }))
    await sleep(lockedMs)
    other.exec('rollback')
    const freedAt = performance.now()
    let freeMs = Number.POSITIVE_INFINITY
    while (freeMs > NORMAL_WITHIN_MS && performance.now() - freedAt < 2 * NORMAL_WITHIN_MS) {
      const { status } = await callOnce(() => broker.admin('POST', '/api/keys', { name: 'again' }))
      if (status === 201) freeMs = performance.now() - freedAt
    }
    await sleep(AFTERWARDS_MS)
    const [through = 0, direct = 0] = streams.map((stream) => stream.longestGapMs())
    const [alive, called, plain] = await Promise.all([lives.stop(), calls.stop(), others.stop()])
    await writes.stop()
    for (const stream of streams) stream.close()
    const added = Math.max(0, through - direct)
    const liveMs = Math.max(0, slowest(alive) - slowest(plain))
    return [
      {
        what: `write lock held elsewhere, ${lockedMs / 1000} s; ${called.length} calls, ${WRITES_PER_SECOND} writes a second`,
        figure: `longest gap of a stream +${Math.round(added)} ms, \`/health/live\` +${Math.round(liveMs)} ms, ${called.filter(isFailed).length} failed calls, a write after ${Math.round(freeMs)} ms`,
        worst: `gap ${Math.round(through)} ms, straight from upstream at the same time ${Math.round(direct)} ms; live ${Math.round(slowest(alive))} ms, upstream ${Math.round(slowest(plain))} ms; failures ${failuresOf([...called, ...alive])}`,
        required: `gap +${maxMs} ms, live +${maxMs} ms, 0 failed, a write within ${NORMAL_WITHIN_MS / 1000} s`,
        reached:
          added <= maxMs &&
          liveMs <= maxMs &&
          ![...called, ...alive].some(isFailed) &&
          freeMs <= NORMAL_WITHIN_MS,
      },
    ]
  },
}

/** Answers plain calls at once, and streams without an end. */
async function startTicking() {
  const server = createServer((incoming, answer) => {
    let body = ''
    incoming.on('data', (chunk) => {
      body += chunk
    })
    incoming.on('end', () => {
      if (!body.includes('"stream":true')) {
        answer.writeHead(200, { 'content-type': 'application/json' }).end('{"id":"1","choices":[]}')
        return
      }
      answer.writeHead(200, { 'content-type': 'text/event-stream' })
      const ticking = setInterval(() => answer.write('data: {"tick":1}\n\n'), CHUNK_EVERY_MS)
      answer.once('close', () => clearInterval(ticking))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const close = () => {
    server.closeAllConnections()
    server.close()
  }
  return { origin, close }
}

async function plainCall(origin: string) {
  const response = await fetch(origin, { method: 'POST', body: '{}' })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

async function openStream(origin: string, key: string) {
  const body = JSON.stringify({ model: MODEL, stream: true, messages: [{ role: 'user', content: 'hi' }] })
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const call = request(`${origin}/v1/chat/completions`, { method: 'POST', headers, agent: false })
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    call.once('response', resolve).once('error', reject).end(body)
  })
  let lastAt = performance.now()
  let longest = 0
  answer.on('data', () => {
    longest = Math.max(longest, performance.now() - lastAt)
    lastAt = performance.now()
  })
  answer.on('error', () => {}) // ours, at the end
  return {
    forget: () => {
      longest = 0
    },
    longestGapMs: () => Math.max(longest, performance.now() - lastAt),
    close: () => call.destroy(),
  }
}
