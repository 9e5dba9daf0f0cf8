/** Of JSON and of a stream's first event, compressed or not, wherever the pieces are cut; and no byte overtakes another. */
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import type { Answer, ClientCall } from '../../src/gateway/client-call.ts'
import { HeldSink } from '../../src/gateway/held-sink.ts'
import { gateFor } from '../../src/gateway/made-ids.ts'

const CODINGS: Record<string, (bytes: Buffer) => Buffer> = {
  identity: (bytes) => bytes,
  gzip: (bytes) => gzipSync(bytes),
  br: (bytes) => brotliCompressSync(bytes),
  zstd: (bytes) => zstdCompressSync(bytes),
  deflate: (bytes) => deflateSync(bytes),
  bare: (bytes) => deflateRawSync(bytes),
}

interface Asked {
  readonly type?: string
  readonly coding?: string
  readonly status?: number
  readonly method?: string
  readonly target?: string
  readonly store?: boolean | undefined
  readonly makesMore?: boolean
}

/** The ids that are noted, in their order. */
async function found(pieces: readonly Buffer[], asked: Asked = {}): Promise<string | undefined> {
  const { type = 'application/json', coding = 'identity', status = 200, store, makesMore = false } = asked
  const { method = 'POST', target = '/v1/responses' } = asked
  const encoding = coding === 'identity' ? [] : ['content-encoding', coding === 'bare' ? 'deflate' : coding]
  const noted: string[] = []
  const call = { request: { method }, target, named: { ids: [], store, makesMore }, key: { id: 'k' } }
  const answer = {
    head: { status, headers: ['content-type', type, ...encoding] },
    route: { config: { id: 'c' } },
  }
  const gate = gateFor(call as unknown as ClientCall, answer as unknown as Answer, {
    note: async (keyId, id, configId) => void noted.push(`${keyId} ${configId} ${id}`),
  })
  for (const piece of pieces) await gate?.(piece)
  return noted.length === 0 ? undefined : noted.join(' + ')
}

const cutAt = (bytes: Buffer, places: readonly number[]) => {
  const cuts = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...cuts].map((from, n) => bytes.subarray(from, cuts[n] ?? bytes.length))
}

const EVENTS = 'text/event-stream; charset=utf-8'
const OBJECT = {
  object: 'response',
  output: [{ id: 'msg_no', content: '{"id":"no"}' }],
  id: 'resp_1',
  metadata: { id: 'no' },
}
const STREAM = `: ping\n\nevent: response.created\ndata: {"type":"response.created","response":${JSON.stringify(OBJECT)}}\n\ndata: {"id":"no"}\n\n`

const FINISHED = {
  id: 'batch_no',
  errors: null,
  output_file_id: 'file-1',
  request_counts: { id: 'no' },
  error_file_id: 'file-2',
}

const SAID = 'say "file_id": "file-no" and {"container":{"id":"no"}}'
const WRITTEN = { type: 'code_execution_output', file_id: 'file_1' }
const MESSAGE = { id: 'msg_no', content: [{ type: 'text', text: SAID }, { content: { content: [WRITTEN] } }] }
const DELTA = { type: 'message_delta', delta: { container: { id: 'container_1', expires_at: 'soon' } } }
const CODE = { type: 'code_interpreter_call', id: 'ci_no', code: SAID, container_id: 'cntr_1' }
const CITED = { type: 'container_file_citation', container_id: 'cntr_1', file_id: 'cfile_1' }

function events(...all: object[]): string {
  return all.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')
}

const ANSWERS: Record<string, [text: string, asked: Asked, expected: string]> = {
  JSON: [JSON.stringify(OBJECT), {}, 'k c resp_1'],
  events: [STREAM, { type: EVENTS }, 'k c resp_1'],
  'an upload that is complete': [
    JSON.stringify({ object: 'upload', file: { object: 'file', id: 'file-1' }, id: 'upload_1' }),
    { target: '/v1/uploads/upload_1/complete' },
    'k c file-1 + k c upload_1',
  ],
  'a thread with its run': [
    JSON.stringify({ id: 'run_1', object: 'thread.run', thread_id: 'thread_1' }),
    { target: '/v1/threads/runs' },
    'k c run_1 + k c thread_1',
  ],
  'files of a tuning': [
    JSON.stringify({ id: 'no', fine_tuned_model: null, result_files: ['file-1', 'file-2'] }),
    { method: 'GET', target: '/v1/fine_tuning/jobs/ftjob-1' },
    'k c file-1 + k c file-2',
  ],
  'where code ran, by Messages': [
    JSON.stringify({ ...MESSAGE, container: { expires_at: 'soon', skills: [{ x: [] }], id: 'container_1' } }),
    { target: '/v1/messages', makesMore: true },
    'k c file_1 + k c container_1',
  ],
  'where code ran, by a stream of Messages': [
    events({ type: 'message_start', message: { id: 'msg_no', container: null } }, { type: 'ping' }, DELTA),
    { target: '/v1/messages?beta=true', type: EVENTS, makesMore: true },
    'k c container_1',
  ],
  'where code ran, by Responses': [
    JSON.stringify({ id: 'resp_1', output: [CODE, CODE, { content: [{ annotations: [CITED] }] }] }),
    { makesMore: true },
    'k c resp_1 + k c cntr_1 + k c cfile_1',
  ],
  'and where nothing else is stored': [
    JSON.stringify({ id: 'resp_no', output: [CODE] }),
    { makesMore: true, store: false },
    'k c cntr_1',
  ],
  'what was spoken': [
    JSON.stringify({ id: 'chatcmpl_no', choices: [{ message: { audio: { data: 'x', id: 'audio_1' } } }] }),
    { target: '/v1/chat/completions', makesMore: true },
    'k c audio_1',
  ],
  results: [
    JSON.stringify(FINISHED),
    { method: 'GET', target: '/v1/batches/batch_1' },
    'k c file-1 + k c file-2',
  ],
}

t.test('in every coding, wherever it is cut', async (t) => {
  const cuts = fc.array(fc.nat(4_000), { maxLength: 5 })
  const kind = fc.constantFrom(...Object.values(ANSWERS))
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...Object.keys(CODINGS)),
      kind,
      cuts,
      async (coding, [text, asked, expected], places) => {
        const bytes = CODINGS[coding]?.(Buffer.from(text)) ?? Buffer.alloc(0)
        const ids = await found(cutAt(bytes, places), { coding, ...asked })
        if (ids !== expected) t.equal(ids, expected, `${coding} ${places}`)
        return ids === expected
      },
    ),
    { numRuns: 500 },
  )
})

t.test('and not where there is none that is named later', async (t) => {
  const body = (value: unknown) => [Buffer.from(JSON.stringify(value))]
  const id = 'x_1'
  const cases: [why: string, expected: boolean, value: unknown, asked?: Asked][] = [
    ['a chat', false, { id }, { target: '/v1/chat/completions' }],
    ['a chat that is stored', true, { id }, { target: '/v1/chat/completions?x=1', store: true }],
    ['a response that is not stored', false, { id }, { store: false }],
    ['a message', false, { id }, { target: '/v1/messages' }],
    ['a batch of messages', true, { id }, { target: '/v1/messages/batches' }],
    ['speech', false, { id }, { target: '/v1/audio/transcriptions' }],
    ['a voice', true, { id }, { target: '/v1/audio/voices' }],
    ['what is only read', false, { id, output_file_id: id }, { method: 'GET' }],
    ['a batch that goes on', false, { id, output_file_id: null }, { method: 'GET', target: '/v1/batches/b' }],
    [
      'a tuned model',
      true,
      { id: 'no', fine_tuned_model: id },
      { method: 'GET', target: '/v1/fine_tuning/jobs/j' },
    ],
    ['batches', false, { data: [{ output_file_id: id }] }, { method: 'GET', target: '/v1/batches?limit=1' }],
    ['an error', false, { id }, { status: 400 }],
    ['a page', false, { id }, { type: 'text/html' }],
    ['a number', false, { id: 1 }],
    ['deeper', false, { data: [{ id }], usage: { id } }],
    ['too long', false, { id: 'x'.repeat(201) }],
    ['within 64 KiB', true, { x: 'y'.repeat(65_000), id }],
    ['behind 64 KiB', false, { x: 'y'.repeat(66_000), id }],
    ['an unknown coding', false, { id }, { coding: 'snappy' }],
    ['not in its coding', false, { id }, { coding: 'gzip' }],
  ]
  for (const [why, expected, value, asked] of cases)
    t.equal(await found(body(value), asked), expected ? 'k c x_1' : undefined, why)
  const bomb = { x: 'y'.repeat(2_000_000), id }
  t.equal(
    await found([gzipSync(JSON.stringify(bomb))], { coding: 'gzip' }),
    undefined,
    'no more is unpacked than that',
  )
  const second = Buffer.from('data: {"type":"ping"}\n\ndata: {"id":"x_1"}\n\n')
  t.equal(await found([second], { type: EVENTS }), undefined, 'a second event')
})

t.test('what waits keeps its order, and what ends it comes last', async (t) => {
  const way = fc.array(fc.constantFrom('open', 'wait', 'turn', 'full'), { minLength: 1, maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(way, fc.boolean(), async (steps, breaks) => {
      const [heard, sent]: [string[], string[]] = [[], []]
      let isFull = false
      let resumed = 0
      const sink = {
        chunk: (bytes: Buffer) => heard.push(bytes.toString()) > 0 && !isFull,
        end: () => void heard.push('end'),
        fail: () => void heard.push('fail'),
      }
      const waiting = new Set<string>()
      const opening: (() => void)[] = []
      const shown: string[] = []
      const gate = (bytes: Buffer) => {
        shown.push(bytes.toString())
        return waiting.has(bytes.toString())
          ? new Promise<void>((resolve) => opening.push(resolve))
          : undefined
      }
      const held = new HeldSink(sink, gate, () => {
        resumed += 1
      })
      const lent = Buffer.alloc(1)
      for (const [n, step] of steps.entries()) {
        if (step === 'turn') {
          for (const open of opening.splice(0)) open()
          await new Promise(setImmediate)
          continue
        }
        isFull = step === 'full'
        lent.write(String.fromCharCode(97 + n))
        if (step === 'wait') waiting.add(lent.toString())
        sent.push(lent.toString())
        const before = heard.length
        const takesMore = held.chunk(lent)
        if (heard.length === before) t.equal(takesMore, false, 'no more while something waits')
      }
      if (breaks) held.fail(new Error('x') as never)
      else held.end()
      while (opening.length > 0) {
        for (const open of opening.splice(0)) open()
        await new Promise(setImmediate)
      }
      t.same(shown, sent, 'each is looked at')
      t.same(heard, [...sent, breaks ? 'fail' : 'end'])
      return t.passing() && resumed <= sent.length
    }),
    { numRuns: 300 },
  )
})
