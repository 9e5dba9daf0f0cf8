import type { ServerResponse } from 'node:http'
import t from 'tap'
import { finish, open } from './fixtures/client.ts'
import { setUp } from './fixtures/upstream.ts'

const EVENT_STREAM = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' }

t.test('each chunk arrives before upstream sends the next', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  for (const contentType of [EVENT_STREAM['content-type'], 'application/x-ndjson', 'audio/mpeg']) {
    const opened = Promise.withResolvers<ServerResponse>()
    upstream.answer((_, response) => {
      response.writeHead(200, { ...EVENT_STREAM, 'content-type': contentType })
      response.flushHeaders()
      opened.resolve(response)
    })
    // The head alone comes first, so that a client knows its call was taken.
    const answer = await open(`${v1}/chat/completions`, { key, body: { model: 'model-a', stream: true } })
    t.equal(answer.headers['content-type'], contentType)
    const reader = answer[Symbol.asyncIterator]()
    const response = await opened.promise
    for (let index = 0; index < 20; index += 1) {
      response.write(`data: {"i":${index}}\n\n`)
      const { value } = await reader.next()
      t.equal(String(value), `data: {"i":${index}}\n\n`)
    }
    response.end('data: [DONE]\n\n')
    t.equal(String((await reader.next()).value), 'data: [DONE]\n\n')
    t.equal((await reader.next()).done, true)
  }
})

t.test('half a character and half a line are passed on as they come', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  const text = Buffer.from('data: {"text":"模型🙂"}\n\n')
  upstream.answer(async (_, response) => {
    response.writeHead(200, EVENT_STREAM)
    for (const byte of text) {
      response.write(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    response.end()
  })
  const answer = await finish(await open(`${v1}/chat/completions`, { key, body: { model: 'model-a' } }))
  t.ok(answer.body.equals(text))
  t.equal(answer.isWhole, true)
})

t.test('a long stream arrives whole and in order, also if it is faster than its reader', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  const count = 20_000
  upstream.answer(async (_, response) => {
    response.writeHead(200, EVENT_STREAM)
    for (let index = 0; index < count; index += 1) {
      if (!response.write(`data: ${index}\n\n`)) {
        await new Promise((resolve) => response.once('drain', resolve))
      }
    }
    response.end()
  })
  const answer = await open(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })
  let text = ''
  for await (const chunk of answer) {
    text += chunk
    if (text.length % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  }
  t.equal(text, Array.from({ length: count }, (_, index) => `data: ${index}\n\n`).join(''))
})
