import fc from 'fast-check'
import t from 'tap'
import { findModel, type ModelScan, replaceModel } from '../../src/gateway/model-scan.ts'

function scan(text: string, isStrict = true): ModelScan {
  return findModel(Buffer.from(text), isStrict)
}

function modelIn(text: string, isStrict = true): string {
  const found = scan(text, isStrict)
  return typeof found === 'string' ? `(${found})` : found.text
}

t.test('the top-level member named model, wherever it stands', async (t) => {
  const bodies: [text: string, model: string][] = [
    ['{"model":"a"}', 'a'],
    [' \t\r\n{ "model" \n:\t "a" }', 'a'],
    ['{"messages":[{"role":"user","content":"\\"model\\":\\"b\\""}],"model":"a"}', 'a'],
    ['{"metadata":{"model":"b"},"model":"a"}', 'a'],
    ['{"tools":[{"model":"b"},["model","b"]],"model":"a"}', 'a'],
    ['{"x":"model","model":"a"}', 'a'],
    ['{"x":"}]{[,","model":"a"}', 'a'],
    ['{"x":"\\\\","model":"a"}', 'a'],
    ['{"x":"\\\\\\"","model":"a"}', 'a'],
    ['{"mod\\u0065l":"a"}', 'a'],
    ['{"\\u006d\\u006F\\u0064\\u0065\\u006C":"a"}', 'a'],
    ['{"model":"\\u0061\\/b\\n\\"c"}', 'a/b\n"c'],
    ['{"model":"模型🙂"}', '模型🙂'],
    ['{"model":""}', ''],
    ['{"model":"a"} trailing', 'a'],
  ]
  for (const [text, model] of bodies) {
    t.equal(modelIn(text, true), model, text)
    t.equal(modelIn(text, false), model, text)
  }
})

t.test('where there is none', async (t) => {
  const bodies = [
    '',
    ' ',
    'null',
    '"model"',
    '["model","a"]',
    '[{"model":"a"}]',
    '{}',
    '{"models":"a"}',
    '{"Model ":"a"}',
    '{"model":1}',
    '{"model":null}',
    '{"model":{"id":"a"}}',
    '{"model":["a"]}',
    '{"model"}',
    '{"model":',
    '{"model":"a',
    '{"x":{"model":"a"}}',
    '{"x":["model"]}',
    '{"x":[{"model":"a"}]}',
    'model=a',
    `{"model":"${'a'.repeat(2_000)}"}`,
  ]
  for (const text of bodies) t.equal(modelIn(text), '(none)', text.slice(0, 40))
})

t.test('two of them are refused where it matters', async (t) => {
  const bodies = [
    '{"model":"a","model":"b"}',
    '{"model":"a","messages":[],"mod\\u0065l":"b"}',
    '{"model":"a","model":null}',
    '{"model":"a","x":{"model":"c"},"model":"a"}',
    '{"model":"a","MODEL":"b"}',
    '{"Model":"a","model":"b"}',
    '{"m\\u004fdel":"b","model":"a"}',
  ]
  for (const text of bodies) t.equal(modelIn(text, true), '(ambiguous)', text)
  t.equal(modelIn('{"model":"a","model":"b"}', false), 'a', 'elsewhere the scan ends at the first')
})

/** Compact, indented, or with spaces and escapes in odd places. */
function spelt(value: unknown, style: number): string {
  if (style === 0) return JSON.stringify(value)
  if (style === 1) return JSON.stringify(value, null, '\t')
  return JSON.stringify(value, null, 1).replaceAll(/[a-z]/g, (letter, at: number, text: string) =>
    isEscapable(text, at) ? `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}` : letter,
  )
}

/** Inside a string, and not part of an escape already. */
function isEscapable(text: string, at: number): boolean {
  const before = text.slice(0, at).replaceAll(/\\./g, '__')
  return (before.match(/"/g)?.length ?? 0) % 2 === 1 && !/\\u?[0-9a-f]{0,3}$/.test(text.slice(0, at))
}

t.test('it finds what a parser finds', async (t) => {
  const key = fc.oneof(fc.constantFrom('model', 'mode', 'messages', '', '"', '\\', '__proto__'), fc.string())
  const inner = fc.oneof(
    fc.jsonValue(),
    fc.record({ model: fc.string() }),
    fc.constantFrom('model', '{"model":"x"}'),
  )
  const body = fc.dictionary(key, inner, { noNullPrototype: true })
  let found = 0
  const run = fc.check(
    fc.property(body, fc.integer({ min: 0, max: 2 }), (value, style) => {
      const text = spelt(value, style)
      const { model } = JSON.parse(text) as { model?: unknown }
      const expected = typeof model === 'string' && JSON.stringify(model).length < 300 ? model : '(none)'
      if (expected !== '(none)') found += 1
      return modelIn(text, true) === expected && modelIn(text, false) === expected
    }),
    { numRuns: 3_000 },
  )
  t.equal(run.failed, false, `seed ${run.seed}: ${fc.stringify(run.counterexample)}`)
  t.ok(found > 100, `${found} bodies had a model`)
})

t.test('another name is put in its place, and nothing else changes', async (t) => {
  const run = fc.check(
    fc.property(fc.jsonValue(), fc.string(), fc.string(), (rest, before, after) => {
      const text = ` {"rest":${JSON.stringify(rest)},\n"model" : ${JSON.stringify(before)} , "end":[1.50e1]} `
      const found = scan(text)
      if (typeof found === 'string') return false
      const replaced = replaceModel(Buffer.from(text), found, after).toString()
      return replaced === text.replace(`: ${JSON.stringify(before)} ,`, () => `: ${JSON.stringify(after)} ,`)
    }),
  )
  t.equal(run.failed, false, `seed ${run.seed}: ${fc.stringify(run.counterexample)}`)
})

t.test('bytes of any kind do not upset it', async (t) => {
  const piece = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    '"',
    '\\',
    ':',
    ',',
    'model',
    '"model"',
    ' ',
    '\u0000',
    '🙂',
  )
  const run = fc.check(
    fc.property(fc.array(piece, { maxLength: 30 }), fc.boolean(), (pieces, isStrict) => {
      const found = scan(pieces.join(''), isStrict)
      return typeof found === 'string' || found.end > found.start
    }),
    { numRuns: 3_000 },
  )
  t.equal(run.failed, false, `seed ${run.seed}: ${fc.stringify(run.counterexample)}`)
})

t.test('the time it takes grows with the body, not with its square', async (t) => {
  const bodies = {
    quotes: `{"a":"${'\\"'.repeat(500_000)}`,
    slashes: `{"a":"${'\\'.repeat(1_000_000)}"`,
    names: `{${'"a":1,'.repeat(150_000)}`,
    deep: '{"a":['.repeat(150_000),
  }
  for (const [name, text] of Object.entries(bodies)) {
    const bytes = Buffer.from(text)
    const startedAt = performance.now()
    findModel(bytes, true)
    const ms = performance.now() - startedAt
    t.ok(ms < 10_000, `${name}: ${Math.round(ms)} ms`) // with the square, minutes
  }
})
