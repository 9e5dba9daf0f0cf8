/**
 * Requests that no honest client sends, from a grammar and a seed.
 */
import { Dice } from '../support/dice.ts'
import { MARK } from './lab.ts'
import { malformedBody } from './malformed-body.ts'

const PATHS = `/v1/chat/completions /v1/chat/completions /v1/embeddings /v1/models /v1/files /v1 /v1/realtime
/v1/realtime?model=model-a /api/models/configs /api/models/configs /api/models/configs/ID /api/models/configs/x
/api/models/configs/ID/status /api/models/configs/ID/refresh /api/models/configs/test-connection /api/keys
/api/qwen/oauth/status /api/sandbox/oauth/device-code /api/sandbox/oauth/events /api/usage /api/session
/health/ready /metrics /openapi.json / /docs /login/x /assets/x /assets/../../package.json *`.split(/\s+/)

const CONTENT_TYPES = [
  ...[
    'application/json; charset=utf-16',
    'application/json, text/plain',
    'APPLICATION/JSON',
    'application/jsonx',
  ],
  ...[
    'multipart/form-data',
    'multipart/form-data; boundary=',
    'application/x-www-form-urlencoded',
    'text/plain',
  ],
  ...['', ';', '\u00ff/x', 'a'.repeat(300)],
]

export interface Known {
  readonly key: string
  readonly adminToken: string
  /** A config that may be changed or deleted without harm. */
  readonly configId: string
  /** host:port that must never be called. */
  readonly elsewhere: string
}

export class Grammar {
  readonly #dice: Dice
  readonly #known: Known

  constructor(seed: number, known: Known) {
    this.#dice = new Dice(seed)
    this.#known = known
  }

  /** Writes one request, perhaps with another one behind it. */
  request(): (mark: string) => Buffer {
    this.#dice.oddness = this.#dice.one([0, 0.05, 0.15, 0.4])
    const body = malformedBody(this.#dice, this.#known.elsewhere)
    const { headers, isChunked } = this.#framing(body)
    const target = this.#target()
    const isForAdmins = /api|metrics/.test(target)
    const [line, others] = [this.#requestLine(target), this.#headers(isForAdmins)]
    const end = this.#dice.oddly(0.15) ? this.#dice.one(['\n', '\r', '\n\r', '\r\r\n']) : '\r\n'
    const headEnd = end + (this.#dice.oddly(0.1) ? '' : end)
    const written = isChunked ? this.#chunked(body) : body
    const isSmuggling = this.#dice.oddly(0.3)
    return (mark) => {
      const lines = [line, `${MARK}: ${mark}`, ...headers, ...others]
      const head = Buffer.from(lines.join(end) + headEnd, 'latin1')
      return Buffer.concat([head, written, Buffer.from(isSmuggling ? this.#smuggled(mark) : '')])
    }
  }

  /** Framed as it should be: what is odd is what it says. */
  wellFramed(): (mark: string) => Buffer {
    this.#dice.oddness = this.#dice.one([0, 0.1, 0.4])
    const body = malformedBody(this.#dice, this.#known.elsewhere)
    const { key, adminToken, configId } = this.#known
    const target = this.#dice.one(PATHS).replace('ID', configId)
    const method = this.#dice.one(['GET', 'POST', 'POST', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD'])
    const type = this.#contentType().replace(/[^ -~]/g, '')
    const bearer = /api|metrics/.test(target) ? adminToken : key
    const isChunked = this.#dice.oddly()
    const framing = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`
    const chunks = [`${body.length.toString(16)}\r\n`, body, `${body.length > 0 ? '\r\n0\r\n' : ''}\r\n`]
    return (mark) => {
      const own = `Host: a\r\n${MARK}: ${mark}\r\nAuthorization: Bearer ${bearer}\r\nContent-Type: ${type}`
      const head = `${method} ${target} HTTP/1.1\r\n${own}\r\n${framing}\r\n\r\n`
      return Buffer.concat([head, ...(isChunked ? chunks : [body])].map((piece) => Buffer.from(piece)))
    }
  }

  #requestLine(target: string): string {
    const method = this.#dice.oddly(0.25)
      ? this.#dice.one(['', 'get', 'CONNECT', 'TRACE', 'FOO', 'PRI', 'GET\t', 'G\u0000ET', 'QUERY'])
      : this.#dice.one(['GET', 'POST', 'POST', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD'])
    const version = this.#dice.oddly(0.25)
      ? this.#dice.one(['', ' HTTP/1.0', ' HTTP/2.0', ' HTTP/9.9', ' http/1.1', ' HTTP/1.1 x', '\tHTTP/1.1'])
      : ' HTTP/1.1'
    return `${method} ${target}${version}`
  }

  #target(): string {
    const { configId, elsewhere } = this.#known
    const path = this.#dice.one(PATHS).replace('ID', configId)
    const odd = [
      () => `http://${elsewhere}${path}`,
      () => `//${elsewhere}${path}`,
      () => `/\\${elsewhere}${path}`,
      () => `${path}/..%2f..`,
      () => path.replace('/v1', '/v1/%2e%2e'),
      () => path.replace('/v1', '/v1/./../v1'),
      () => path.replaceAll('/', '//'),
      () => path.replaceAll('e', '%65'),
      () => `${path}%00`,
      () => `${path}%`,
      () => `${path}%c0%ae`,
      () => `${path}\u00ff`,
      () => `${path} x`,
      () => `${path}#x`,
      () => `${path};x=${'y'.repeat(this.#dice.some(0, 9_000))}`,
      () => `${path}?${'a=b&'.repeat(this.#dice.some(1, 2_000))}`,
      () => `${path}?session_id[]=x&__proto__[x]=y&constructor=z&device_code=a&device_code=b`,
      () =>
        `${path}?page=${this.#dice.one(['-1', '1e9', 'NaN', '0x1', '%', '1;drop'])}&page_size=100&is_active=`,
    ]
    return this.#dice.oddly() ? this.#dice.one(odd)() : path
  }

  #headers(isForAdmins: boolean): string[] {
    const { key, adminToken, elsewhere } = this.#known
    const wrong = ['', `${key}x`, '\u00ff', 'x'.repeat(500)]
    const bearer = this.#dice.oddly() ? this.#dice.one(wrong) : isForAdmins ? adminToken : key
    const headers = [
      ...(this.#dice.oddly(0.2) ? [] : [`Host: ${this.#dice.one(['a', elsewhere, '[::1]', 'a:b'])}`]),
      ...(this.#dice.oddly(0.3) ? [] : [`Authorization: Bearer ${bearer}`]),
      ...(this.#dice.oddly(0.3) ? [] : [`Content-Type: ${this.#contentType()}`]),
    ]
    while (this.#dice.oddly() && headers.length < 6) headers.push(this.#oddHeader())
    return headers
  }

  #contentType(): string {
    if (!this.#dice.oddly()) return 'application/json'
    return this.#dice.one(CONTENT_TYPES)
  }

  #oddHeader(): string {
    const { key, elsewhere } = this.#known
    return this.#dice.one([
      `X-Api-Key: ${key}`,
      'Expect: 100-continue',
      'Expect: 200-ok',
      'Upgrade: websocket',
      'Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings',
      'Upgrade: websocket\r\nConnection: Upgrade',
      'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==',
      'Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 99\r\nSec-WebSocket-Key: x',
      'Connection: close, content-length, authorization',
      'Connection: keep-alive\r\nKeep-Alive: timeout=0',
      'Cookie: token_broker_session=x; __proto__=y; =; a',
      `X-Forwarded-For: ${this.#dice.one(['1.2.3.4', '::1', ',', 'x', ' '])}\r\nX-Forwarded-Host: ${elsewhere}`,
      'Origin: null\r\nAccess-Control-Request-Method: POST',
      '__proto__: x',
      'constructor: x\r\ntoString: x\r\nhasOwnProperty: x',
      'Authorization: Bearer second',
      'X: a\u0000b',
      'X : a',
      ': a',
      'X',
      'X: a\r\n folded',
      `X: ${'y'.repeat(this.#dice.some(0, 30_000))}`,
      Array.from({ length: this.#dice.some(1, 1_500) }, (_, index) => `X-${index}: y`).join('\r\n'),
      'Range: bytes=-1-',
      'Accept-Encoding: *;q=x',
      'Content-Encoding: gzip',
      'If-None-Match: "x',
      'Idempotency-Key: \u00ff',
      'Trailer: authorization',
      'TE: trailers, chunked',
      'Last-Event-ID: x',
    ])
  }

  #framing(body: Buffer): { headers: string[]; isChunked: boolean } {
    const length = String(body.length)
    if (!this.#dice.oddly()) return { headers: [`Content-Length: ${length}`], isChunked: false }
    const headers = this.#dice.one([
      ['Transfer-Encoding: chunked'],
      ['Transfer-Encoding: chunked'],
      [`Content-Length: ${length}`, 'Transfer-Encoding: chunked'],
      ['Transfer-Encoding: chunked', `Content-Length: ${length}`],
      ['Transfer-Encoding: identity', `Content-Length: ${length}`],
      ['Transfer-Encoding: chunked, identity'],
      ['Transfer-Encoding: xchunked'],
      ['Transfer-Encoding:\tchunked'],
      ['Transfer-Encoding : chunked'],
      ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
      [`Content-Length: ${length}`, `Content-Length: ${length}`],
      [`Content-Length: ${length}`, 'Content-Length: 0'],
      [`Content-Length: ${length}, ${length}`],
      [`Content-Length: +${length}`],
      [`Content-Length: ${body.length - 1}`],
      [`Content-Length: ${body.length + 1}`],
      ['Content-Length: -1'],
      ['Content-Length: 0x5'],
      ['Content-Length: 99999999999999999999'],
      ['Content-Length: 30000000'],
      ['Content-Length:'],
      [],
    ])
    return { headers, isChunked: headers.some((header) => header.includes('chunked')) }
  }

  #chunked(body: Buffer): Buffer {
    const hex = body.length.toString(16)
    const size = this.#dice.one([hex, hex, `${hex};x=y`, '0x5', '-1', 'g', 'fffffffff', ''])
    const end = this.#dice.one([
      '\r\n0\r\n\r\n',
      '\r\n0\r\nAuthorization: x\r\n\r\n',
      '0\r\n\r\n',
      '\n0\n\n',
      '',
    ])
    return Buffer.concat([Buffer.from(`${size}\r\n`), body, Buffer.from(end)])
  }

  #smuggled(mark: string): string {
    const { elsewhere, key } = this.#known
    const own = `${MARK}: ${mark}/tail\r\nAuthorization: Bearer ${key}`
    return `GET /v1/smuggled HTTP/1.1\r\nHost: ${elsewhere}\r\n${own}\r\n\r\n`
  }
}
