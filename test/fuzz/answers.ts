/**
 * Answers of upstream that no honest server gives (RFC 9112 §4, §6, §7), each followed by a good one: whatever the
 * first was, the client gets an answer that is none of ours being at fault, and the second is not touched by it.
 */

import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { ask } from '../gateway/fixtures/client.ts'
import { addConfig, addKey } from '../gateway/fixtures/upstream.ts'
import type { Lab, Tally } from './lab.ts'

const OK = 'HTTP/1.1 200 OK\r\n'
const BODY = '{"ok":true}'
const LENGTH = `Content-Length: ${BODY.length}\r\n`
const CHUNKS = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`
/** So long a client waits; a hang is a miss. */
const MAX_WAIT_MS = 20_000

const STATUS_LINES = [
  '',
  'HTTP/1.1',
  'HTTP/1.1 ',
  'HTTP/1.1 20',
  'HTTP/1.1 2000 OK',
  'HTTP/1.1 000 OK',
  'HTTP/1.1 099 X',
  'HTTP/1.1 600 X',
  'HTTP/1.1 999 X',
  'HTTP/1.1 -20 OK',
  'HTTP/1.1 2x0 OK',
  'HTTP/1.1200 OK',
  'HTTP/1.1\t200\tOK',
  'HTTP/2.0 200 OK',
  'HTTP/0.9 200 OK',
  'HTTP/9.9 200 OK',
  'http/1.1 200 OK',
  'ICY 200 OK',
  'HTTP/1.1 200 O\0K',
  'HTTP/1.1 200 \u00e9\u00ff',
  'HTTP/1.1 101 Switching Protocols',
  'HTTP/1.1 100 Continue',
  'HTTP/1.1 103 Early Hints',
  'HTTP/1.1 407 X',
  'HTTP/1.1 200',
  `HTTP/1.1 200 ${'x'.repeat(70_000)}`,
  'GET / HTTP/1.1',
  '\u0016\u0003\u0001',
]
const FIELDS = [
  'X',
  ': y',
  'X : y',
  ' X: y',
  'X: a\r\n folded',
  'X: a\0b',
  'X: a\rb',
  'X: a\nSet-Cookie: b',
  'X\u00e9: y',
  'X(y): z',
  '\0: y',
  `X: ${'y'.repeat(90_000)}`,
  Array.from({ length: 3_000 }, (_, i) => `X-${i}: y`).join('\r\n'),
  'Content-Type: a\u0001b',
  'Content-Type: \u00ff',
  'Location: \u00ff\u0001',
  'Content-Disposition: attachment; filename="\u00e9"',
  'Connection: content-length, content-type',
  'Set-Cookie: __proto__=x',
  '__proto__: x',
  'Content-Encoding: gzip',
  'Content-Encoding: gzip, x',
  'Retry-After: -1',
  'Location: //elsewhere.example/',
  'X-Request-Id: a\u0007b',
  'Upgrade: h2c\r\nConnection: Upgrade',
]
const LENGTHS = [
  '',
  '-1',
  '+11',
  '011',
  '0x0b',
  '11, 11',
  '11, 12',
  '1e1',
  '5',
  '12',
  '99999999999999999999',
  '11;',
  'x',
  '11\r\nContent-Length: 11',
  '11\r\nContent-Length: 5',
]
const CODINGS = [
  'gzip',
  'identity',
  'xchunked',
  'chunked, chunked',
  'chunked, gzip',
  'gzip, chunked',
  '"chunked"',
  ' chunked ',
  'chunked\r\nTransfer-Encoding: chunked',
  `chunked\r\nContent-Length: ${CHUNKS.length}`,
  '',
]
const CHUNKED = [
  '0xb',
  '+b',
  '-1',
  'g',
  '',
  ' b',
  'b ',
  '1_1',
  '10000000000000000b',
  'ffffffff',
  'b;x\ny',
  `b;${'x'.repeat(70_000)}`,
  '5',
  'ff',
  'b\0',
]

/** The bytes of each, and a name. */
function hostileAnswers(): [name: string, bytes: string][] {
  const many = (what: string, list: string[], write: (text: string) => string): [string, string][] =>
    list.map((text) => [`${what} ${JSON.stringify(text.slice(0, 40))}`, write(text)])
  const whole = `${OK}${LENGTH}\r\n${BODY}`
  return [
    ...many('status line', STATUS_LINES, (line) => `${line}\r\n${LENGTH}\r\n${BODY}`),
    ...many('field', FIELDS, (field) => `${OK}${field}\r\n${LENGTH}\r\n${BODY}`),
    ...many('length', LENGTHS, (length) => `${OK}Content-Length: ${length}\r\n\r\n${BODY}`),
    ...many('coding', CODINGS, (coding) => `${OK}Transfer-Encoding: ${coding}\r\n\r\n${CHUNKS}`),
    ...many(
      'chunk',
      CHUNKED,
      (size) => `${OK}Transfer-Encoding: chunked\r\n\r\n${size}\r\n${BODY}\r\n0\r\n\r\n`,
    ),
    ...many('cut at', ['5', '14', '17', '30', '40', '45'], (at) => whole.slice(0, Number(at))),
    ...many('line ends', ['\n', '\r', '\n\r', '\r\r\n'], (end) => whole.replaceAll('\r\n', end)),
    ...many('behind it', [whole, 'x', '\r\n\r\n', 'HTTP/1.1 500 X\r\n\r\n', BODY], (more) => whole + more),
    ...many('no content', ['204', '304', '205'], (status) => `HTTP/1.1 ${status} X\r\n${LENGTH}\r\n${BODY}`),
    ['a flood of interim answers', 'HTTP/1.1 103 X\r\n\r\n'.repeat(5_000) + whole],
    ['nothing at all', ''],
  ]
}

/** Writes what it is told to, and hangs up; asked for `/good/N` it answers N and stays. */
async function startHostile(
  t: Pick<Test, 'teardown'>,
): Promise<{ origin: string; next: (bytes: string) => void }> {
  let bytes = ''
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      const good = /^GET [^ ]*\/good\/(\d+) /.exec(chunk.toString('latin1'))?.[1]
      if (good === undefined) socket.end(bytes, 'latin1')
      else socket.write(`${OK}Content-Length: ${good.length}\r\n\r\n${good}`)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    origin,
    next: (wanted) => {
      bytes = wanted
    },
  }
}

export async function sendHostileAnswers(t: Pick<Test, 'teardown'>, lab: Lab, tally: Tally): Promise<void> {
  const hostile = await startHostile(t)
  const id = await addConfig(lab.broker, { name: 'hostile', base_url: `${hostile.origin}/v1` })
  const key = await addKey(lab.broker, { model_config_ids: [id] })
  for (const [name, bytes] of hostileAnswers()) {
    hostile.next(bytes)
    const miss = (why: string) => tally.misses.push(`${why}: answer, ${name}`)
    const startedAt = performance.now()
    const call = { key, body: { model: 'x' }, signal: AbortSignal.timeout(MAX_WAIT_MS) }
    const answer = await ask(`${lab.v1}/chat/completions`, call).catch(() => undefined)
    const ms = performance.now() - startedAt
    tally.sent += 1
    if (ms > tally.worst.ms) tally.worst = { ms, name }
    const status = answer ? String(answer.status) : '-'
    tally.statuses.set(status, (tally.statuses.get(status) ?? 0) + 1)
    if (!answer && ms > MAX_WAIT_MS / 2) miss('no answer')
    if (status === '500') miss('an answer of 500')
    if (answer?.headers['set-cookie']) miss('a cookie came through')
    const text = JSON.stringify(answer?.headers ?? {}) + (answer?.body.toString('latin1') ?? '')
    if ([...lab.secrets, key.slice(6)].some((secret) => text.includes(secret))) miss('a secret in the answer')
    const good = await ask(`${lab.v1}/good/${tally.sent}`, { key })
    if (good.body.toString() !== String(tally.sent))
      miss(`the next good call: ${good.status} ${good.body.toString()}`)
  }
}
