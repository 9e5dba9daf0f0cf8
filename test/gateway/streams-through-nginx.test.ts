import type { ServerResponse } from 'node:http'
import t from 'tap'
import { onNginx } from '../support/nginx.ts'
import { ask, open } from './fixtures/client.ts'
import { setUp } from './fixtures/upstream.ts'

onNginx(
  t,
  'behind nginx as it comes, the first event arrives before upstream sends the second',
  async (t, inFrontOf) => {
    const { broker, upstream, key } = await setUp(t)
    const origin = await inFrontOf(broker.origin)
    for (const contentType of ['text/event-stream', 'Text/Event-Stream; charset=utf-8']) {
      const opened = Promise.withResolvers<ServerResponse>()
      upstream.answer((_, response) => {
        response.writeHead(200, { 'content-type': contentType }).write('data: first\n\n')
        opened.resolve(response)
      })
      const answer = await open(`${origin}/v1/chat/completions`, {
        key,
        body: { model: 'model-a' },
      })
      const chunks = answer[Symbol.asyncIterator]()
      t.equal(String((await chunks.next()).value), 'data: first\n\n')
      const response = await opened.promise
      response.end('data: second\n\n')
      t.equal(String((await chunks.next()).value), 'data: second\n\n')
    }
  },
)

t.test('only event streams say that they are not to be held back', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  for (const [contentType, expected] of [
    ['text/event-stream', 'no'],
    ['application/json', undefined],
    ['text/event-streams', undefined],
  ] as const) {
    upstream.answer((_, response) =>
      response.writeHead(200, { 'content-type': contentType, 'x-accel-buffering': 'yes' }).end('{}'),
    )
    t.equal((await ask(`${v1}/files`, { key })).headers['x-accel-buffering'], expected, contentType)
  }
})
