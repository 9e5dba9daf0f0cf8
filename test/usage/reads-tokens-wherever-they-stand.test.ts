import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import type { TokenCounts } from '../../src/usage/token-counts.ts'
import { tokenReaderFor } from '../../src/usage/token-reader.ts'
import { ANSWERS, type TellingAnswer } from './fixtures/answers.ts'

const CODINGS: Record<string, (bytes: Buffer) => Promise<Buffer>> = {
  gzip: promisify(zlib.gzip),
  'X-GZIP': promisify(zlib.gzip),
  br: promisify(zlib.brotliCompress),
  zstd: promisify(zlib.zstdCompress),
  deflate: promisify(zlib.deflate),
  'deflate ': promisify(zlib.deflateRaw),
}
const NONE = { prompt: 0, completion: 0 }

/** @param cuts lengths of the pieces, again and again */
function tokensOf(
  { contentType, coding }: { contentType: string; coding?: string },
  bytes: Buffer,
  cuts: readonly number[] = [bytes.length],
): Promise<TokenCounts> {
  const reader = tokenReaderFor(200, contentType, coding)
  if (!reader) throw new Error('not looked at')
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const end = at + Math.max(1, cuts[i % cuts.length] ?? 1)
    reader.push(bytes.toString('latin1', at, end))
    at = end
  }
  return new Promise((resolve) => reader.end(resolve))
}

const cuts = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 70_000 })), {
  minLength: 1,
  maxLength: 6,
})

for (const answer of ANSWERS) {
  t.test(answer.name, async (t) => {
    const bytes = Buffer.from(answer.body)
    t.same(await tokensOf(answer, bytes), answer.tokenCounts, 'in one piece')
    t.same(await tokensOf(answer, bytes, [1]), answer.tokenCounts, 'byte by byte')
    const run = await fc.check(
      fc.asyncProperty(cuts, async (cut) => {
        const { prompt, completion } = await tokensOf(answer, bytes, cut)
        return prompt === answer.tokenCounts.prompt && completion === answer.tokenCounts.completion
      }),
      { numRuns: 30 },
    )
    t.equal(run.failed, false, `cut anywhere, seed ${run.seed}: ${fc.stringify(run.counterexample)}`)
    for (const [coding, pack] of Object.entries(CODINGS)) {
      const packed = await pack(bytes)
      const pieces = [1 + (packed.length % 7), 1 + Math.ceil(packed.length / 3)]
      t.same(await tokensOf({ ...answer, coding }, packed, pieces), answer.tokenCounts, coding)
    }
  })
}

t.test('numbers that are none are ignored, each by itself', async (t) => {
  for (const number of [
    '-1',
    '1.5',
    '1e400',
    '-1e400',
    '1e10',
    '"12"',
    'null',
    'true',
    '[12]',
    '{"a":12}',
    '1'.repeat(400),
  ]) {
    for (const name of ['prompt_tokens', 'input_tokens', 'cache_read_input_tokens']) {
      const body = `{"x":1,"usage":{"${name}":${number},"completion_tokens":34}}`
      for (const cut of [1, 1e9]) {
        const tokenCounts = await tokensOf({ contentType: 'application/json' }, Buffer.from(body), [cut])
        t.same(tokenCounts, { prompt: 0, completion: 34 }, body)
      }
    }
  }
})

t.test('what is no JSON, or is cut short, counts nothing and does no harm', async (t) => {
  const parts = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    '"',
    '\\',
    ':',
    ',',
    '"usage"',
    '{"usage":',
    '1',
    'null',
    '\n\n',
    'data:',
    '\r',
    '\0',
    ' ',
  )
  const run = await fc.check(
    fc.asyncProperty(fc.array(parts, { maxLength: 60 }), cuts, async (text, cut) => {
      for (const contentType of ['application/json', 'text/event-stream'])
        await tokensOf({ contentType }, Buffer.from(text.join('')), cut)
    }),
    { numRuns: 2_000 },
  )
  t.equal(run.failed, false, `seed ${run.seed}: ${fc.stringify(run.counterexample)}`)
  for (const [name, coding] of [
    ['gzip', 'gzip'],
    ['zstd', 'br'],
    ['br', 'zstd'],
  ] as const) {
    const answer = ANSWERS[0] as TellingAnswer
    const packed = await (CODINGS[name] as (bytes: Buffer) => Promise<Buffer>)(Buffer.from(answer.body))
    if (name !== coding) t.same(await tokensOf({ ...answer, coding }, packed), NONE, `${name} as ${coding}`)
    t.same(await tokensOf({ ...answer, coding: name }, packed.subarray(0, 20)), NONE, `half of ${name}`)
  }
  t.same(await tokensOf({ contentType: 'application/json', coding: 'gzip' }, Buffer.alloc(0)), NONE)
})

t.test('depth and length have no price but time', async (t) => {
  const deep = Buffer.from(`{"a":${'[{"b":'.repeat(1e5)}`)
  t.same(await tokensOf({ contentType: 'application/json' }, deep, [1e5]), NONE)
  const hoard = Buffer.from(`{"usage":{"x":"${'y'.repeat(1e6)}","prompt_tokens":9}}`)
  t.same(await tokensOf({ contentType: 'application/json' }, hoard, [1e4]), NONE, 'a usage that is too long')
  t.same(
    await tokensOf({ contentType: 'text/event-stream' }, Buffer.concat([Buffer.from('data:'), hoard]), [1e4]),
    NONE,
  )
})

t.test('an endless answer is read to a bound, compressed or not', async (t) => {
  const MIB = 1024 * 1024
  const piece = `{"a":"${' '.repeat(MIB)}`
  const plain = tokenReaderFor(200, 'application/json', undefined)
  let pushed = 0
  while (plain?.isReading && pushed < 200) {
    plain.push(piece)
    pushed += 1
  }
  t.ok(pushed < 100, `${pushed} MiB`)

  const bomb = Buffer.concat(Array(600).fill(await promisify(zlib.gzip)(Buffer.alloc(MIB))))
  const before = process.memoryUsage().rss
  const packed = tokenReaderFor(200, 'application/json', 'gzip')
  packed?.push(bomb.toString('latin1'))
  const tokens = await new Promise((resolve) => packed?.end(resolve))
  t.same(tokens, NONE)
  t.ok(process.memoryUsage().rss - before < 300 * MIB, 'a bomb is not unpacked as a whole')

  const flood = tokenReaderFor(200, 'application/json', 'gzip')
  let waiting = 0
  while (flood?.isReading && waiting < 100) {
    flood.push(bomb.toString('latin1', 0, 64 * 1024))
    waiting += 1
  }
  t.ok(waiting < 100, 'what comes faster than it is unpacked does not pile up')
  t.same(await new Promise((resolve) => flood?.end(resolve)), NONE)
})

t.test('answers that tell nothing are not even looked at', async (t) => {
  t.equal(tokenReaderFor(200, 'audio/mpeg', undefined), undefined)
  t.equal(tokenReaderFor(200, undefined, undefined), undefined)
  t.equal(tokenReaderFor(200, 'application/jsonl', undefined), undefined)
  t.equal(tokenReaderFor(429, 'application/json', undefined), undefined)
  t.equal(tokenReaderFor(200, 'application/json', 'gzip, br'), undefined)
  t.equal(tokenReaderFor(200, 'application/json', 'toString'), undefined)
  for (const type of [
    'application/json',
    'Application/JSON;charset=utf-8',
    'application/problem+json',
    'text/event-stream',
  ])
    t.ok(tokenReaderFor(200, type, undefined), type)
})
