import fc from 'fast-check'
import t from 'tap'
import { TAIL_BYTES, TokenTail } from '../../src/usage/token-tail.ts'

function tokensOf(text: string, contentType = 'application/json', cut = 1e6) {
  const tail = TokenTail.for(200, contentType, undefined)
  const bytes = Buffer.from(text).toString('latin1')
  for (let at = 0; at < bytes.length; at += cut) tail?.push(bytes.slice(at, at + cut))
  return tail?.tokens()
}

const SSE = 'text/event-stream; charset=utf-8'
const CHAT = JSON.stringify({
  id: 'x',
  choices: [{ message: { content: 'say "usage": {"prompt_tokens": 99}' } }],
  usage: {
    prompt_tokens: 12,
    completion_tokens: 34,
    prompt_tokens_details: { cached_tokens: 5 },
    total_tokens: 46,
  },
})

t.test('both dialects say it at the end, whole or streamed', async (t) => {
  t.same(tokensOf(CHAT), { prompt: 12, completion: 34 })
  t.same(tokensOf('{"output":[],"usage" : {"input_tokens":7,"output_tokens": 8},"user":null}'), {
    prompt: 7,
    completion: 8,
  })
  t.same(tokensOf('{"data":[],"usage":{"prompt_tokens":3,"total_tokens":3}}'), { prompt: 3, completion: 0 })
  const streamed = `data: {"choices":[{}],"usage":null}\n\ndata: {"choices":[],"usage":{"completion_tokens":2,"prompt_tokens":1}}\n\ndata: [DONE]\n\n`
  t.same(tokensOf(streamed, SSE), { prompt: 1, completion: 2 })
  const cumulative = `data: {"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\ndata: {"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\ndata: {"usage":null}\n\n`
  t.same(tokensOf(cumulative, SSE), { prompt: 1, completion: 2 })
})

t.test('what a model says is not taken for what it cost', async (t) => {
  const none = { prompt: 0, completion: 0 }
  const said = JSON.stringify({ content: '"usage":{"prompt_tokens":99,"completion_tokens":99}' })
  for (const text of [
    '',
    '"usage"',
    said,
    '{"content":"usage"}',
    '{"usage":null}',
    '{"usage":[1]}',
    'x'.repeat(9_000),
  ]) {
    t.same(tokensOf(text), none, text.slice(0, 40))
  }
})

t.test('it does not matter where the chunks are cut, nor how long the answer is', async (t) => {
  const answer = fc.tuple(
    fc.string({ maxLength: 3 * TAIL_BYTES }),
    fc.nat(1e9),
    fc.nat(1e9),
    fc.integer({ min: 1, max: 6_000 }),
  )
  const run = fc.check(
    fc.property(answer, ([content, prompt, completion, cut]) => {
      const body = JSON.stringify({
        content,
        usage: { prompt_tokens: prompt, completion_tokens: completion },
      })
      const found = tokensOf(body, undefined, cut)
      return found?.prompt === prompt && found.completion === completion
    }),
    { numRuns: 300 },
  )
  t.equal(run.failed, false, `seed ${run.seed}: ${fc.stringify(run.counterexample)}`)
})

t.test('answers that tell nothing are not even looked at', async (t) => {
  t.equal(TokenTail.for(200, 'application/json', 'gzip'), undefined)
  t.equal(TokenTail.for(200, 'audio/mpeg', undefined), undefined)
  t.equal(TokenTail.for(200, undefined, undefined), undefined)
  t.equal(TokenTail.for(429, 'application/json', undefined), undefined)
  t.type(TokenTail.for(200, 'application/json', undefined), TokenTail)
})
