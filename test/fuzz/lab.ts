/**
 * Raw bytes to a broker, and what must hold whatever they are: every call that reached upstream was answered to who
 * sent it, no answer is 500, none holds a secret, and the next good call works.
 */
import type { Test } from 'tap'
import { ask, exchange } from '../gateway/fixtures/client.ts'
import {
  addConfig,
  json,
  type Setup,
  setUp,
  startUpstream,
  UPSTREAM_KEY,
} from '../gateway/fixtures/upstream.ts'
import type { Known } from './grammar.ts'

/** A header that passes to upstream, by which a call is known there. */
export const MARK = 'X-Client-Request-Id'
const QUIET_MS = 200
/** What is no whole request has no answer. */
const SILENT_MS = 1_000
/** An answer that is due may take so long on a busy machine. */
const MAX_WAIT_MS = 10_000

export interface Probe {
  readonly name: string
  /** @param mark the value of {@link MARK} for this probe; behind it `/tail` for what may be smuggled */
  bytes(mark: string): Buffer
  /**
   * 'refused': nothing of it reaches upstream, and the connection ends. 'denied': it does not, but what follows may.
   * 'passes': it does, and is answered with 200. 'answered': whatever the answer.
   */
  readonly expected: 'refused' | 'denied' | 'passes' | 'answered' | 'any'
}

export interface Tally {
  sent: number
  /** By status; '-' where nothing was answered. */
  readonly statuses: Map<string, number>
  readonly misses: string[]
  worst: { ms: number; name: string }
}

export interface Lab extends Setup {
  readonly known: Known
  /** Calls of each probe that reached upstream. */
  readonly arrived: Map<string, number>
  readonly secrets: readonly string[]
}

export async function openLab(t: Pick<Test, 'teardown'>): Promise<Lab> {
  const setup = await setUp(t)
  const arrived = new Map<string, number>()
  setup.upstream.answer((request, response) => {
    const mark = String(request.headers['x-client-request-id'] ?? 'none')
    arrived.set(mark, (arrived.get(mark) ?? 0) + 1)
    request.resume()
    json(response, { ok: true })
  })
  const elsewhere = await startUpstream(t)
  const configId = await addConfig(setup.broker, { name: 'plaything' })
  const { adminToken } = setup.broker
  const known = { key: setup.key, adminToken, configId, elsewhere: new URL(elsewhere.origin).host }
  return { ...setup, known, arrived, secrets: [UPSTREAM_KEY, adminToken, setup.key.slice(6)] }
}

export function newTally(): Tally {
  return { sent: 0, statuses: new Map(), misses: [], worst: { ms: 0, name: '' } }
}

let probes = 0

export async function sendProbe(lab: Lab, probe: Probe, tally: Tally): Promise<void> {
  probes += 1
  const mark = `probe-${probes}`
  const startedAt = performance.now()
  const bytes = probe.bytes(mark)
  const text = await whatComesBack(lab, bytes, mark, probe.expected === 'answered' ? MAX_WAIT_MS : SILENT_MS)
  const ms = performance.now() - startedAt
  if (ms > tally.worst.ms) tally.worst = { ms, name: probe.name }
  tally.sent += 1
  judge(lab, probe, mark, text, (why) => {
    tally.misses.push(
      `${why}: ${probe.name}\n${bytes.subarray(0, 1_000).toString('latin1')}\n→ ${text.slice(0, 500)}`,
    )
  })
  const statuses = [...text.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status = '']) => status)
  for (const status of statuses.length > 0 ? statuses : ['-'])
    tally.statuses.set(status, (tally.statuses.get(status) ?? 0) + 1)
}

function judge(lab: Lab, { expected }: Probe, mark: string, text: string, miss: (why: string) => void): void {
  const calls = lab.arrived.get(mark) ?? 0
  const smuggled = lab.arrived.get(`${mark}/tail`) ?? 0
  const arrived = calls + smuggled
  // Our own server was asked to start a login elsewhere, and that answer is a promise of the interface.
  if (/^HTTP\/1\.1 500/m.test(text) && !text.includes('device_authorization_failed')) miss('an answer of 500')
  if (lab.secrets.some((secret) => text.includes(secret))) miss('a secret in the answer')
  // An upload that breaks off has reached upstream by then, and is answered by us.
  const answers = text.match(/^HTTP\/1\.1 [2-5]/gm)?.length ?? 0
  const isCovered = smuggled === 0 ? calls <= Math.min(1, answers) : arrived <= relayed(text)
  if (!isCovered)
    miss(`${calls} + ${smuggled} calls reached upstream, ${relayed(text)} of ${answers} answers are its own`)
  if (expected === 'refused' && arrived > 0) miss('what was to be refused reached upstream')
  if (expected === 'answered' && text === '') miss('no answer')
  if (expected === 'denied' && calls > 0) miss('what was to be denied reached upstream')
  if (expected === 'refused' && /^HTTP\/1\.1 [23]/m.test(text)) miss('what was to be refused was not')
  if (expected === 'passes' && !/^HTTP\/1\.1 200/m.test(text)) miss('what is well formed did not pass')
}

/** Answers that came from upstream. */
function relayed(text: string): number {
  return text.match(/^x-token-broker-trace: /gim)?.length ?? 0
}

/** What comes back until it is closed, or quiet while nothing is due. */
function whatComesBack(lab: Lab, bytes: Buffer, mark: string, silentMs: number): Promise<string> {
  const startedAt = performance.now()
  return exchange(lab.broker.origin, bytes, (text, quietMs) => {
    const isDue = (lab.arrived.get(mark) ?? 0) + (lab.arrived.get(`${mark}/tail`) ?? 0) > relayed(text)
    const isQuiet = !isDue && quietMs > (text === '' ? silentMs : QUIET_MS)
    return isQuiet || performance.now() - startedAt > MAX_WAIT_MS
  })
}

/** After each handful. */
export async function assertGood(lab: Lab, tally: Tally): Promise<void> {
  const good = await ask(`${lab.v1}/chat/completions`, {
    key: lab.key,
    body: { model: 'model-a' },
    headers: { [MARK]: 'good' },
  })
  if (good.status !== 200) tally.misses.push(`the next good call: ${good.status} after ${tally.sent}`)
}

/** At the end of everything. */
export function assertNothingElse(lab: Lab, tally: Tally): void {
  for (const { url = '', headers, rawHeaders } of lab.upstream.calls) {
    const isIn = /^\/base\/v1(?:[/?]|$)/.test(url) && headers.authorization === `Bearer ${UPSTREAM_KEY}`
    if (!isIn || rawHeaders.join().includes(lab.key.slice(6))) tally.misses.push(`upstream heard ${url}`)
  }
  if (lab.arrived.has('none'))
    tally.misses.push(`${lab.arrived.get('none')} calls without a mark reached upstream`)
  const log = lab.broker.log.join('')
  if (lab.secrets.some((secret) => log.includes(secret))) tally.misses.push('a secret in the log')
}
