/**
 * Heads that parsers disagree about, from a table: what is done to a request × the requests it is done to.
 */

import type { Known } from './grammar.ts'
import { MARK, type Probe } from './lab.ts'

interface Parts {
  readonly method: string
  readonly target: string
  readonly version: string
  readonly headers: readonly string[]
  readonly end: string
  readonly body: string
}

type Expected = Probe['expected']
/** The parts that are others, or the whole of the bytes. */
type Change = (parts: Parts) => Partial<Parts> | string
type Row = readonly [name: string, expected: Expected, change: Change]

const JSON_BODY = '{"model":"model-a"}'

/** RFC 9112 §2.2: only CRLF ends a line. */
const LINES: Row[] = [
  ['line feeds alone', 'refused', () => ({ end: '\n' })],
  ['carriage returns alone', 'refused', () => ({ end: '\r' })],
  ['line ends the wrong way round', 'refused', () => ({ end: '\n\r' })],
  ['two carriage returns', 'refused', () => ({ end: '\r\r\n' })],
  ['a line feed behind the request line', 'refused', (p) => ({ version: `${p.version}\nX: y` })],
  ['a line feed in a value', 'refused', add('X: a\nY: b')],
  ['a carriage return in a value', 'refused', add('X: a\rY: b')],
  ['a blank before the first field', 'refused', (p) => ({ headers: [' X: y', ...p.headers] })],
  ['an empty line in front', 'passes', (p) => ({ method: `\r\n${p.method}` })],
  ['a NUL in front', 'refused', (p) => ({ method: `\0${p.method}` })],
  ['a byte order mark in front', 'refused', (p) => ({ method: `\u00ef\u00bb\u00bf${p.method}` })],
]

/** RFC 9112 §3, §2.3. */
const START: Row[] = [
  ...[
    '',
    'get',
    'FOO',
    'G ET',
    'GET\t',
    'G\0ET',
    'PRI',
    'GE\u00e9',
    '"GET"',
    'GET,POST',
    'A'.repeat(9_000),
  ].map((method): Row => [`method ${method.slice(0, 9)}`, 'refused', () => ({ method: method })]),
  ...[
    '',
    ' ',
    ' HTTP',
    ' HTTP/',
    ' HTTP/1',
    ' HTTP/1.',
    ' HTTP/0.9',
    ' HTTP/1.2',
    ' HTTP/2.0',
    ' HTTP/9.9',
    ' http/1.1',
    ' HTTP/1.1 x',
    ' HTTP/1.10',
    ' HTTP/01.1',
    ' HTTP /1.1',
    ' HTTPS/1.1',

    '\0HTTP/1.1',
  ].map((version): Row => [`version ${version}`, 'refused', () => ({ version: version })]),
  ['a tab before the version', 'refused', () => ({ version: '\tHTTP/1.1' })],
  ['two blanks before the target', 'any', (p) => ({ method: `${p.method} ` })],
  ['CONNECT', 'refused', () => ({ method: 'CONNECT', target: 'upstream.example:443' })],
  ['TRACE', 'any', (_p) => ({ method: 'TRACE' })],
]

/** RFC 9112 §3.2: forms of the target, and what stands in it. */
const TARGETS: Row[] = [
  ...[
    '*',
    'x',
    'http://',
    'http://a',
    '//elsewhere.example/v1/x',
    '/\\elsewhere.example/v1',
    'https://elsewhere.example/v1/files/1',
    'http://u:p@elsewhere.example/v1/files/1',
    'elsewhere.example:443',
    '/v1/../x',
    '/v1/x/..%2f..%2fy',
    '/v1/%2e%2e/x',
    '/v1/..;/x',
    '/v1/%ef%bc%8e%ef%bc%8e/x',
    '/v1/x\0',
    '/v1/\u00e9',
    '/v1/x#y',
    '/v1/"x"',
    '/v1/<x>',
    '/v1/a b',
    '/v1/%',
    '/v1/%zz',
    '/v1//x',
    `/v1/${'x'.repeat(70_000)}`,
  ].map((target): Row => [`target ${target.slice(0, 40)}`, 'denied', () => ({ target: target })]),
]

/** RFC 9112 §5, §5.1, §5.2; RFC 9110 §5.5. */
const FIELDS: Row[] = [
  ...[
    'X : y',
    ' X: y',
    'X',
    ': y',
    'X\0: y',
    'X: a\0b',
    'X: a\u0001b',
    'X: a\u007fb',
    'X\u00e9: y',
    'X(y): z',
    'X,Y: z',
    'X: a\r\n folded',
    'X: a\r\n\tfolded',
    'X Y: z',
    '"X": y',
    'X;Y: z',
    `X: ${'y'.repeat(90_000)}`,
  ].map((field): Row => [`field ${JSON.stringify(field.slice(0, 20))}`, 'refused', add(field)]),
  ['many fields', 'refused', add(...Array.from({ length: 3_000 }, (_, i) => `X-${i}: y`))],
  ['high bytes in a value', 'passes', add('X: \u00e9\u00ff')],
  ['an empty value', 'passes', add('X:')],
  ['blanks around a value', 'passes', add('X: \t y \t ')],
  ['names of object members', 'passes', add('__proto__: x', 'constructor: y', 'toString: z')],
]

/** RFC 9112 §3.2; RFC 9110 §11.6.2: one each. */
const SINGLE: Row[] = [
  ['no Host', 'refused', (p) => ({ headers: p.headers.slice(1) })],
  ...['Host: b', 'Host: a', 'host:b', 'Authorization: Bearer x', 'AUTHORIZATION: Basic eDp5'].map(
    (line): Row => [`another ${line}`, 'refused', add(line)],
  ),
  ...['', 'a b', 'a/b', 'u@a', 'a:b', 'a, b', 'a\\b', '[::1', '\u00e9', 'a?b', 'a:1:2', 'http://a'].map(
    (host): Row => [
      `Host ${host}`,
      'refused',
      (p) => ({ headers: [`Host: ${host}`, ...p.headers.slice(1)] }),
    ],
  ),
]

/** RFC 9112 §6.1 to §6.3, and RFC 9110 §8.6. */
const FRAMING: Row[] = [
  ...[
    '019',
    '+19',
    '-19',
    '19, 19',
    '19, 20',
    '0x13',
    '1_9',
    '1 9',
    '19;',
    '19.0',
    '1e1',
    '',
    '99999999999999999999',
    '\u00b919',
    '"19"',
  ].map(
    (length): Row => [`Content-Length ${length}`, 'refused', (p) => framed(p, [`Content-Length: ${length}`])],
  ),
  ...[
    'gzip',
    'identity',
    'xchunked',
    'chunkedx',
    'gzip, chunked',
    'chunked, identity',
    'chunked, chunked',
    ', chunked',
    'chunked,',
    'chunked;x',
    '"chunked"',
    '\u000bchunked',
    'chun\0ked',
    'chunked\u00a0',
    '',
  ].map(
    (coding): Row => [
      `Transfer-Encoding ${coding}`,
      'refused',
      (p) => framed(p, [`Transfer-Encoding: ${coding}`], chunked(JSON_BODY)),
    ],
  ),
  ['two lengths', 'refused', (p) => framed(p, ['Content-Length: 19', 'Content-Length: 19'])],
  ['two lengths that differ', 'refused', (p) => framed(p, ['Content-Length: 19', 'Content-Length: 0'])],
  [
    'length and coding',
    'refused',
    (p) => framed(p, ['Content-Length: 19', 'Transfer-Encoding: chunked'], chunked(JSON_BODY)),
  ],
  [
    'coding and length',
    'refused',
    (p) => framed(p, ['Transfer-Encoding: chunked', 'Content-Length: 4'], chunked(JSON_BODY)),
  ],
  [
    'coding and no length',
    'refused',
    (p) => framed(p, ['Transfer-Encoding: chunked', 'Content-Length: 0'], '0\r\n\r\n'),
  ],
  [
    'two codings',
    'refused',
    (p) => framed(p, ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], chunked(JSON_BODY)),
  ],
  [
    'a blank before the colon',
    'refused',
    (p) => framed(p, ['Transfer-Encoding : chunked'], chunked(JSON_BODY)),
  ],
  ['a folded coding', 'refused', (p) => framed(p, ['Transfer-Encoding:\r\n chunked'], chunked(JSON_BODY))],
  [
    'a coding in HTTP/1.0',
    'refused',
    (p) => ({ ...framed(p, ['Transfer-Encoding: chunked'], chunked(JSON_BODY)), version: ' HTTP/1.0' }),
  ],
  ['underscores for dashes', 'any', add('Transfer_Encoding: chunked', 'Content_Length: 3')],
]

/** RFC 9112 §7.1: chunks, their extensions, and what stands behind the last. */
const CHUNKS: Row[] = [
  ...[
    '0x13',
    '+13',
    '-13',
    ' 13',
    '13 ',
    '1 3',
    '',
    'g',
    '1_3',
    '13\t',
    '\u00b3',
    '10000000000000013',
    '13\0',
    '13;\nx',
    '13;a\rb',
    `13;${'x'.repeat(40_000)}`,
  ].map(
    (size): Row => [
      `chunk size ${JSON.stringify(size.slice(0, 20))}`,
      'any',
      (p) => framed(p, ['Transfer-Encoding: chunked'], chunked(JSON_BODY).replace('13', size)),
    ],
  ),
  ...['\n', '\r', '\n\n', '\r\r\n', ''].map(
    (end): Row => [
      `chunks end with ${JSON.stringify(end)}`,
      'any',
      (p) => framed(p, ['Transfer-Encoding: chunked'], chunked(JSON_BODY).replaceAll('\r\n', end)),
    ],
  ),
  ...[
    'Content-Length: 5',
    'Transfer-Encoding: chunked',
    'Host: b',
    'Authorization: Bearer x',
    'X : y',
    ' X: y',
    'X',
  ].map(
    (line): Row => [
      `trailer ${line}`,
      'any',
      (p) =>
        framed(p, ['Transfer-Encoding: chunked'], chunked(JSON_BODY).replace(/\r\n$/, `${line}\r\n\r\n`)),
    ],
  ),
  [
    'a chunk longer than told',
    'any',
    (p) => framed(p, ['Transfer-Encoding: chunked'], chunked(JSON_BODY).replace('13', '12')),
  ],
  [
    'a chunk shorter than told',
    'any',
    (p) => framed(p, ['Transfer-Encoding: chunked'], chunked(JSON_BODY).replace('13', '14')),
  ],
  [
    'chunks as they should be',
    'passes',
    (p) => framed(p, ['Transfer-Encoding: chunked'], chunked(JSON_BODY)),
  ],
  [
    'an extension',
    'passes',
    (p) => framed(p, ['Transfer-Encoding: chunked'], chunked(JSON_BODY).replace('13', '13;a=b')),
  ],
]

/** RFC 9110 §7.6.1, §7.8, §10.1.1: what concerns this hop. */
const HOP: Row[] = [
  ...[
    'Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk',
    'Upgrade: foo\r\nConnection: upgrade',
    'Connection: content-length, host, authorization',
    'Connection: keep-alive\r\nKeep-Alive: timeout=0',
    'TE: trailers, chunked',
    'Trailer: authorization',
    'Expect: 100-continue',
    'Via: 1.1 a',
    'Max-Forwards: 0',
    'Range: bytes=-1-',
  ].map((lines): Row => [lines.split('\r\n', 1)[0] ?? '', 'passes', add(lines)]),
  ['an unknown expectation', 'any', add('Expect: 200-ok')],
  ['half a handshake', 'any', add('Upgrade: websocket', 'Connection: Upgrade')],
  [
    'a handshake',
    'any',
    add(
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ),
  ],
  ['closed, and then more', 'passes', add('Connection: close')],
]

/** What is no HTTP/1.1 at all. */
const OTHERS: Row[] = [
  ['the preface of HTTP/2', 'refused', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['HTTP/0.9', 'refused', () => 'GET /v1/files/1\r\n'],
  ['a TLS hello', 'refused', () => '\u0016\u0003\u0001\u0000\u00a5\u0001\u0000\u0000\u00a1\u0003\u0003'],
  ['a PROXY line', 'refused', (p) => `PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n${written(p)}`],
  ['an answer', 'refused', () => 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['half a head', 'refused', (p) => written(p).slice(0, 40)],
]

function add(...lines: readonly string[]): Change {
  return ({ headers }) => ({ headers: [...headers, ...lines] })
}

function framed({ headers, body }: Parts, lines: readonly string[], other = body): Partial<Parts> {
  const unframed = headers.filter((line) => !/^(?:content-length|transfer-encoding)/i.test(line))
  return { headers: [...unframed, ...lines], body: other }
}

function chunked(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`
}

function written({ method, target, version, headers, end, body }: Parts): string {
  return [`${method} ${target}${version}`, ...headers, '', body].join(end)
}

/** The requests that it is done to. */
function bases({ key }: Known, mark: string): Record<string, Parts> {
  const headers = ['Host: a', `${MARK}: ${mark}`, `Authorization: Bearer ${key}`]
  const withBody = (type: string) => [
    ...headers,
    `Content-Type: ${type}`,
    `Content-Length: ${JSON_BODY.length}`,
  ]
  const common = { version: ' HTTP/1.1', end: '\r\n' }
  return {
    call: {
      ...common,
      method: 'POST',
      target: '/v1/chat/completions',
      headers: withBody('application/json'),
      body: JSON_BODY,
    },
    upload: {
      ...common,
      method: 'PUT',
      target: '/v1/files/1',
      headers: withBody('text/plain'),
      body: JSON_BODY,
    },
    look: { ...common, method: 'GET', target: '/v1/files/1', headers, body: '' },
  }
}

/** Behind each: what must not become a request of its own, unless what is in front of it is one. */
function tail({ key }: Known, mark: string): string {
  return `GET /v1/files/2 HTTP/1.1\r\nHost: a\r\n${MARK}: ${mark}/tail\r\nAuthorization: Bearer ${key}\r\n\r\n`
}

export function headProbes(known: Known): Probe[] {
  const rows = { LINES, START, TARGETS, FIELDS, SINGLE, FRAMING, CHUNKS, HOP, OTHERS }
  return Object.entries(rows).flatMap(([category, table]) =>
    ['call', 'upload', 'look'].flatMap((base) =>
      table.map(([name, expected, change]): Probe => {
        const bytes = (mark: string) => {
          const parts = bases(known, mark)[base] as Parts
          const changed = change(parts)
          const text =
            typeof changed === 'string' ? changed : written({ ...parts, ...changed }) + tail(known, mark)
          return Buffer.from(text, 'latin1')
        }
        return { name: `${category.toLowerCase()}: ${name} (${base})`, expected, bytes }
      }),
    ),
  )
}
