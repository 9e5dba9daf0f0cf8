/**
 * Who stands between the load and the upstream: nobody, nginx, bare @fastify/http-proxy, a bare relay, Portkey's
 * gateway, and the broker. Each is one process on its own port.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, openSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BrokerProcess } from '../support/broker-process.ts'
import { freePort } from '../support/free-port.ts'
import { connect, plainProvider, startBroker } from './broker.ts'
import { type Lab, PeerFailed } from './lab.ts'
import { ANSWER, CALL_PATH, QUESTION } from './messages.ts'
import { start, startScript, untilAnswers } from './processes.ts'
import { originOf, startNginx } from './upstreams.ts'

export interface Peer {
  readonly name: string
  readonly origin: string
  readonly headers: Readonly<Record<string, string>>
  /** What is posted to it. */
  readonly body: string
  /** undefined: not a process of ours. */
  readonly pid: number | undefined
}

export const PORTKEY_VERSION = '1.15.2'
const NO_KEY = { authorization: 'Bearer sk-nobody-looks-at-this' }

export function direct(upstream: string): Peer {
  return { name: 'direct', origin: upstream, headers: NO_KEY, body: QUESTION, pid: undefined }
}

export async function nginxProxy(lab: Lab, upstream: string): Promise<Peer> {
  const port = await freePort()
  const http = `
upstream bench { server ${new URL(upstream).host}; keepalive 64; keepalive_requests 1000000000; }
server { listen 127.0.0.1:${port}; location / {
  proxy_pass http://bench; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_read_timeout 600s;
} }`
  const { pid } = await startNginx(lab, http, port)
  return { name: 'nginx', origin: `http://127.0.0.1:${port}`, headers: NO_KEY, body: QUESTION, pid }
}

export async function bareProxy(upstream: string): Promise<Peer> {
  const running = await startScript('bare-proxy', { upstream })
  return { name: 'http-proxy', origin: originOf(running), headers: NO_KEY, body: QUESTION, pid: running.pid }
}

/** What is left of a relay in Node without the broker's duties. */
export async function bareRelay(upstream: string): Promise<Peer> {
  const running = await startScript('bare-relay', { upstream })
  return { name: 'bare relay', origin: originOf(running), headers: NO_KEY, body: QUESTION, pid: running.pid }
}

export async function broker(lab: Lab, upstream: string): Promise<Peer> {
  const running = await startBroker(lab, { providers: plainProvider(upstream) })
  return brokerPeer(running, await connect(running, 'bench'))
}

/** What stands beside the broker where two checkouts are compared. */
export async function before(lab: Lab, upstream: string): Promise<Peer[]> {
  if (lab.before === undefined) return []
  const running = await startBroker(lab, { providers: plainProvider(upstream), checkout: lab.before })
  return [brokerPeer(running, await connect(running, 'bench'), 'before')]
}

export function brokerPeer(running: BrokerProcess, key: string, name = 'broker'): Peer {
  const { origin, pid } = running
  return { name, origin, headers: { authorization: `Bearer ${key}` }, body: QUESTION, pid }
}

/** Portkey's gateway from the npm registry, kept for the next run; without its console (`--headless`). */
export async function portkey(lab: Lab, upstream: string): Promise<Peer> {
  const dir = join(tmpdir(), 'token-broker-bench-portkey', PORTKEY_VERSION)
  const main = join(dir, 'node_modules/@portkey-ai/gateway/build/start-server.js')
  if (!existsSync(main)) {
    lab.say(`fetching @portkey-ai/gateway ${PORTKEY_VERSION}`)
    mkdirSync(dir, { recursive: true })
    const install = ['install', '--prefix', dir, '--ignore-scripts', '--no-audit', '--no-fund']
    execFileSync('npm', [...install, `@portkey-ai/gateway@${PORTKEY_VERSION}`], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  }
  const port = await freePort()
  const log = openSync(join(lab.dir, 'portkey.log'), 'a')
  const { pid } = start('portkey', process.execPath, [main, `--port=${port}`, '--headless'], {
    stdio: ['ignore', log, log],
    cwd: dir,
    env: { ...process.env, NODE_ENV: 'production' },
  })
  await untilAnswers(`http://127.0.0.1:${port}/`)
  return {
    name: 'portkey',
    origin: `http://127.0.0.1:${port}`,
    headers: { ...NO_KEY, 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `${upstream}/v1` },
    body: QUESTION,
    pid,
  }
}

/** One call, compared byte by byte. @throws PeerFailed */
export async function verify(peer: Peer): Promise<void> {
  const response = await fetch(peer.origin + CALL_PATH, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...peer.headers },
    body: peer.body,
  })
  const body = await response.text()
  if (response.status === 200 && body === ANSWER) return
  throw new PeerFailed(`${peer.name} answered ${response.status} ${body.slice(0, 200)}`)
}
