/** The parts of `npm run test:clients` that need no program of others. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Exchange } from './recorder.ts'
import { compare } from './recordings.ts'
import { standBetween, WAYS } from './two-sides.ts'

const CALL: Exchange = {
  id: '1',
  method: 'POST',
  target: '/v1/files?purpose=batch',
  headers: {
    accept: '*/*',
    'content-type': 'text/plain',
    authorization: 'Bearer sk-tb-x',
    'openai-beta': 'a',
  },
  body: Buffer.from('body'),
  status: 200,
  answer: Buffer.from('answer'),
}
const [accept, rest] = [{ accept: '*/*' }, { ...CALL.headers, accept: undefined }]

const DAMAGED: Record<string, [arrived: Exchange[], said: RegExp]> = {
  'a method': [[{ ...CALL, method: 'PUT' }], /method "POST" became "PUT"/],
  'a path': [[{ ...CALL, target: '/v1/file?purpose=batch' }], /target .* became "\/v1\/file\?/],
  'a query': [[{ ...CALL, target: '/v1/files' }], /target .* became "\/v1\/files"/],
  'a byte of a body': [[{ ...CALL, body: Buffer.from('Body') }], /body "body" became "Body"/],
  'a byte that is no text': [[{ ...CALL, body: Buffer.from([0xff]) }], /body "body" became/],
  'the end of an answer': [
    [{ ...CALL, answer: Buffer.from('answe') }],
    /answer "answe" became|answer "answer" became "answe"/,
  ],
  'a status': [[{ ...CALL, status: 201 }], /status 200 became 201/],
  'a header that is gone': [[{ ...CALL, headers: rest }], /accept "\*\/\*" became undefined/],
  'a header that is new': [
    [{ ...CALL, headers: { ...CALL.headers, 'anthropic-beta': 'b' } }],
    /anthropic-beta undefined/,
  ],
  'a header that is another': [
    [{ ...CALL, headers: { ...CALL.headers, 'openai-beta': 'b' } }],
    /openai-beta "a" became "b"/,
  ],
  'a call that is lost': [[], /never arrived/],
  'a call that comes twice': [[CALL, CALL], /arrived 2 times/],
  'a call of nobody': [[CALL, { ...CALL, id: '2' }], /nobody sent it/],
}

t.test('each difference is told', async (t) => {
  t.match(compare([CALL], [CALL]), { sent: 1, alike: 1, own: 0, differences: [] })
  const key = {
    ...CALL,
    headers: { ...CALL.headers, authorization: 'Bearer upstream', 'user-agent': 'token-broker' },
  }
  t.match(compare([CALL], [key]), { alike: 1, differences: [] }, 'the key and the name are the broker’s own')
  for (const [what, [arrived, said]] of Object.entries(DAMAGED)) {
    const { differences } = compare([CALL], arrived)
    t.match(differences, [said], what)
    t.match(differences[0], /^POST \/v1\/files/, what)
  }
})

t.test('the broker answers itself what is its own, and nothing else', async (t) => {
  const answered = (call: Partial<Exchange>) => compare([{ ...CALL, headers: accept, ...call }], []).own
  t.equal(answered({ method: 'GET', target: '/v1/models' }), 1)
  t.equal(answered({ method: 'GET', target: '/v1/models/org%2Fname?x=1' }), 1)
  t.equal(answered({ target: '/chat/completions', status: 404 }), 1)
  t.equal(answered({ target: '/chat/completions', status: 200 }), 0)
  t.equal(answered({ method: 'DELETE', target: '/v1/models/x' }), 0)
  t.equal(answered({ method: 'GET', target: '/v1/modelsx' }), 0)
})

t.test('any key serves what went through directly', async (t) => {
  const mock = createServer((call, response) => {
    call.resume().on('end', () => response.end(`${call.method} ${call.url}`))
  })
  await new Promise<void>((resolve) => mock.listen(0, '127.0.0.1', resolve))
  t.teardown(() => mock.close())
  const origin = `http://127.0.0.1:${(mock.address() as AddressInfo).port}`
  const sides = await standBetween(t, origin, { provider: 'openai', prefix: '/v1' })
  const post = (path: string, body: FormData | string, type?: string) => {
    const headers = {
      authorization: 'Bearer of the client',
      ...(type !== undefined && { 'content-type': type }),
    }
    return fetch(`${sides.origin}/v1${path}`, { method: 'POST', body, headers })
  }
  const form = new FormData()
  form.set('model', 'model of a form')
  form.set('file', new Blob(['x'.repeat(100_000)]), 'a.txt')
  for (const way of WAYS) {
    await sides.turnTo(way)
    for (const model of ['one', 'two', 'three'])
      await post('/chat/completions', JSON.stringify({ model, messages: [] }), 'application/json')
    await post('/audio/transcriptions', form)
    const answer = await post('/responses?a=%2F', '{"input":"no model"}', 'application/json')
    t.equal(await answer.text(), 'POST /responses?a=%2F', way)
    t.same(sides.compare(), { sent: 5, alike: 5, own: 0, differences: [] }, way)
  }
})
