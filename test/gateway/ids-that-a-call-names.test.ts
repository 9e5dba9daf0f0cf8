/** Found in paths, JSON and forms without parsing; what people say in a conversation is none. */

import fc from 'fast-check'
import type { FastifyRequest } from 'fastify'
import t from 'tap'
import type { ClientCall } from '../../src/gateway/client-call.ts'
import { namedIn } from '../../src/gateway/named-ids.ts'
import { NO_BODY } from '../../src/gateway/request-body.ts'

const JSON_TYPE = 'application/json'
const FORM = 'multipart/form-data; boundary=x'

function named(target: string, body?: string, contentType = JSON_TYPE) {
  const request = { raw: { headers: { 'content-type': contentType } } } as unknown as FastifyRequest
  const readable = body === undefined ? undefined : Buffer.from(body)
  return namedIn({ request, target, body: { ...NO_BODY, readable } } as ClientCall)
}

const say = (value: unknown) => named('/v1/x', JSON.stringify(value)).ids

t.test('in a path', async (t) => {
  const cases: [path: string, ...ids: string[]][] = [
    ['/v1/chat/completions'],
    ['/v1/responses'],
    ['/v1/files?after=file-1'],
    ['/v1/files/file-1', 'file-1'],
    ['/v1/files/file-1/content?x=/y', 'file-1'],
    ['/v1/responses/resp_1/input_items', 'resp_1'],
    ['/v1/vector_stores/vs_1/file_batches/vsfb_1/cancel', 'vs_1', 'vsfb_1'],
    ['/v1/messages/batches/msgbatch_1/results', 'msgbatch_1'],
    ['/v1/fine_tuning/jobs/ftjob-1/events', 'ftjob-1'],
    ['/v1/files/a%2Fb', 'a/b'],
    ['/v1/files/%ff'],
    [`/v1/files/${'x'.repeat(300)}`],
  ]
  for (const [path, ...ids] of cases) t.same(named(path).ids, ids, path)
})

t.test('in JSON', async (t) => {
  const cases: [value: unknown, ...ids: string[]][] = [
    [{ model: 'm', previous_response_id: 'resp_1' }, 'resp_1'],
    [{ conversation: 'conv_1' }, 'conv_1'],
    [{ conversation: { extra: 1, id: 'conv_1' } }, 'conv_1'],
    [{ input_file_id: 'file-1', endpoint: '/v1/responses' }, 'file-1'],
    [{ training_file: 'file-1', validation_file: 'file-2' }, 'file-1', 'file-2'],
    [{ file_ids: ['file-1', 'file-2', 'file-1'] }, 'file-1', 'file-2'],
    [{ part_ids: [] }],
    [{ tools: [{ type: 'file_search', vector_store_ids: ['vs_1'] }] }, 'vs_1'],
    [{ tools: [{ type: 'code_interpreter', container: 'cntr_1' }] }, 'cntr_1'],
    [{ tools: [{ container: { type: 'auto', file_ids: ['file-1'] } }] }, 'file-1'],
    [{ container: { skills: [{ skill_id: 'skill_1' }, { skill_id: 'skill_2' }] } }, 'skill_1', 'skill_2'],
    [{ input: [{ content: [{ type: 'input_file', file_id: 'file-1' }] }] }, 'file-1'],
    [{ messages: [{ content: [{ source: { type: 'file', file_id: 'file_1' } }] }] }, 'file_1'],
    [{ messages: [{ content: [{ type: 'file', file: { file_id: 'file-1' } }] }] }, 'file-1'],
    [{ voice: { id: 'voice_1' } }, 'voice_1'],
    [{ container: 'container_1' }, 'container_1'],
    [
      { container: { skills: [{ type: 'anthropic', skill_id: 'pptx' }], id: 'container_1' } },
      'container_1',
      'pptx',
    ],
    [{ messages: [{ role: 'assistant', audio: { id: 'audio_1' } }], audio: { voice: 'x' } }, 'audio_1', 'x'],
    [{ messages: [{ content: [{ type: 'container_upload', file_id: 'file_1' }] }] }, 'file_1'],
    [{ prompt_cache_options: { comparison_response_id: 'resp_1' } }, 'resp_1'],
    [{ metadata: { session_id: 'mine', agent_id: 'mine' } }],
    [{ previous_response_id: null, conversation: null, file_ids: null, container: { type: 'auto' } }],
    [
      {
        input: [
          { id: 'msg_1', type: 'item_reference' },
          { call_id: 'call_1', id: 'fc_1' },
        ],
      },
    ],
    [{ tools: [{ parameters: { properties: { file_id: { type: 'string' } } } }] }],
    [{ input: 'say {"file_id": "file-1"}, "file_id": "file-2"' }],
    [{ input: '\\', 'x\\': 1, file_id: 'file-1' }, 'file-1'],
    [{ 'a name that ends in "file_id': 'file-1' }],
    [{ previous_response_id: 'x'.repeat(300) }],
  ]
  for (const [value, ...ids] of cases) {
    t.same(say(value), ids, JSON.stringify(value).slice(0, 80))
    t.same(named('/v1/x', JSON.stringify(value, null, 2)).ids, ids)
  }
})

t.test('of agents only where agents are asked for', async (t) => {
  const session = { agent: { id: 'agent_1' }, environment_id: 'env_1', vault_ids: ['vlt_1'] }
  const resources = [{ type: 'memory_store', memory_store_id: 'memstore_1' }]
  const body = JSON.stringify({ ...session, resources })
  const ids = ['agent_1', 'env_1', 'vlt_1', 'memstore_1']
  for (const path of ['/v1/sessions', '/v1/agents/sessions', '/v1/deployments?beta=true'])
    t.same(named(path, body).ids, ids, path)
  for (const path of ['/v1/responses', '/v1/sessionsx']) t.same(named(path, body).ids, [], path)
})

t.test('whether more may be made than the answer', async (t) => {
  const makesMore = (value: unknown) => named('/v1/x', JSON.stringify(value)).makesMore
  t.ok(makesMore({ tools: [{ type: 'code_interpreter' }] }))
  t.ok(makesMore({ tools: [{ type: 'code_execution_20250825', name: 'code_execution' }] }))
  t.ok(makesMore({ tools: [{ type: 'shell', environment: { type: 'container_auto' } }] }))
  t.ok(makesMore({ container: 'container_1' }))
  t.ok(makesMore({ modalities: ['text', 'audio'] }))
  t.notOk(makesMore({ model: 'm', input: 'use the "code_interpreter"', tools: [{ type: 'function' }] }))
  t.notOk(named('/v1/x').makesMore)
})

t.test('whatever stands around them', async (t) => {
  const id = fc.stringMatching(/^[a-z]{1,8}[_-][A-Za-z0-9]{1,40}$/)
  const around = fc.jsonValue({ maxDepth: 4, noUnicodeString: false })
  fc.assert(
    fc.property(around, id, fc.string(), around, (before, one, said, after) => {
      const quoted = JSON.stringify({ file_id: `${one}x`, text: said })
      const ids = say({ before, text: quoted, [said]: quoted, deep: [{ file_id: one }], after })
      t.ok(ids.includes(one))
      t.notOk(ids.includes(`${one}x`))
      return t.passing()
    }),
    { numRuns: 500 },
  )
})

t.test('in forms, and so many that nobody looks at more', async (t) => {
  const part = (name: string, value: string, more = '') =>
    `--x\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`
  const form = [
    part('model', 'm'),
    part('file_id', 'file-1'),
    part('file_ids[]', 'file-2'),
    part('video[id]', 'video_1'),
    part('file_id', 'RIFF', '; filename="a"'),
    part('prompt', 'file_id=file-3'),
  ]
  t.same(named('/v1/x', `${form.join('')}--x--\r\n`, FORM).ids, ['file-1', 'file-2', 'video_1'])
  t.same(named('/v1/x', form.join(''), FORM).ids, ['file-1', 'file-2', 'video_1'], 'in the beginning of one')
  const urlencoded = named('/v1/x', 'a=file_id&file_id=file%2D1', 'application/x-www-form-urlencoded')
  t.same(urlencoded.ids, ['file-1'])
  const many = Array.from({ length: 1_000 }, (_, n) => `file-${n}`)
  t.equal(say({ file_ids: many }).length, 64)
  t.equal(say(many.map((file_id) => ({ file_id }))).length, 64)
})

t.test('and what is to be stored', async (t) => {
  const store = (value: unknown) => named('/v1/x', JSON.stringify(value)).store
  t.equal(store({ model: 'm' }), undefined)
  t.equal(store({ store: true }), true)
  t.equal(store({ input: '"store": true', store: false }), false)
  t.equal(store({ input: '{"store": false}', tools: [{ properties: { store: {} } }] }), undefined)
})
