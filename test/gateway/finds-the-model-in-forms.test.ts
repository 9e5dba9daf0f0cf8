import fc from 'fast-check'
import t from 'tap'
import { modelsInForm } from '../../src/gateway/form-models.ts'
import { findModelInForm } from '../../src/gateway/form-scan.ts'
import { replaceModel } from '../../src/gateway/model-scan.ts'

const text = fc.string({
  unit: fc.constantFrom('a', 'é', '-', '\r\n', '"', '=', '&', '%', '+', '\r\n--', 'model'),
  maxLength: 12,
})
const name = fc.constantFrom('model', 'Model', 'models', 'prompt', 'file', 'a"; name="model')
const fields = fc.array(fc.tuple(name, text, fc.boolean()), { maxLength: 6 })

const WHOLE = { strict: false, isWhole: true }

type Fields = [name: string, value: string, isFile: boolean][]

async function written(
  given: Fields,
  kind: 'multipart' | 'urlencoded',
): Promise<{ bytes: Buffer; type: string }> {
  if (kind === 'urlencoded') {
    const bytes = Buffer.from(
      new URLSearchParams(given.map(([name, value]): [string, string] => [name, value])).toString(),
    )
    return { bytes, type: 'application/x-www-form-urlencoded' }
  }
  const data = new FormData()
  for (const [name, value, isFile] of given) {
    if (isFile) data.append(name, new Blob([value]), `${name}.bin`)
    else data.append(name, value)
  }
  const response = new Response(data)
  return {
    bytes: Buffer.from(await response.arrayBuffer()),
    type: response.headers.get('content-type') ?? '',
  }
}

for (const kind of ['multipart', 'urlencoded'] as const) {
  t.test(`finds what a writer of ${kind} forms wrote, and replaces that alone`, async (t) => {
    const property = fc.asyncProperty(fields, async (given) => {
      const { bytes, type } = await written(given, kind)
      const isField = ([name, , isFile]: Fields[number]) =>
        name === 'model' && !(isFile && kind === 'multipart')
      const first = given.find(isField)
      const found = findModelInForm(bytes, type, { strict: false, isWhole: true })
      if (!first) return found === 'none'
      if (typeof found === 'string') return false
      const value = kind === 'multipart' ? (await parsed(bytes, type)).get('model') : first[1]
      if (kind === 'multipart' && typeof value === 'string' && found.text !== value) return false
      const renamed = replaceModel(bytes, found, 'x/é')
      const expected = given.map((field): Fields[number] =>
        field === first ? ['model', 'x/é', false] : field,
      )
      return same(renamed, type, expected)
    })
    const run = await fc.check(property, { numRuns: 300 })
    t.equal(run.failed, false, JSON.stringify(run.counterexample))
  })

  t.test(`of the beginning of a ${kind} form only what is whole counts`, async (t) => {
    const property = fc.asyncProperty(
      fields,
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (given, part) => {
        const { bytes, type } = await written(given, kind)
        const whole = findModelInForm(bytes, type, { strict: false, isWhole: true })
        const cut = findModelInForm(bytes.subarray(0, bytes.length * part), type, {
          strict: false,
          isWhole: false,
        })
        return cut === 'none' || JSON.stringify(cut) === JSON.stringify(whole)
      },
    )
    const run = await fc.check(property, { numRuns: 300 })
    t.equal(run.failed, false, JSON.stringify(run.counterexample))
  })
}

function parsed(bytes: Buffer, type: string): Promise<FormData> {
  return new Response(new Uint8Array(bytes), { headers: { 'content-type': type } }).formData()
}

async function same(bytes: Buffer, type: string, expected: Fields): Promise<boolean> {
  const got = await parsed(bytes, type)
  const names = [...got.keys()]
  return (
    names.length === expected.length &&
    expected.every(([name], index) => names[index] === name) &&
    got.getAll('model').includes('x/é')
  )
}

t.test('what does not begin as a form is not waited for', async (t) => {
  const type = 'multipart/form-data; boundary=bound'
  const begun = (text: string) => findModelInForm(Buffer.from(text), type, { strict: false, isWhole: false })
  for (const text of ['', '-', '--bo', '--bound', '--bound\r\nX: y']) t.equal(begun(text), 'none', text)
  for (const text of ['x', '--bx', '\0\0\0', 'preamble\r\n--bound\r\n']) t.equal(begun(text), 'unread', text)
})

t.test('a form of a million fields is not read on for ever', async (t) => {
  const urlencoded = 'application/x-www-form-urlencoded'
  const many = Buffer.from('a&'.repeat(4 * 1024 * 1024)) // each field looked for its "=" up to the end of all
  const part = '--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n\r\n'
  const parts = Buffer.from(`${part.repeat(50_000)}--b--\r\n`)
  for (const strict of [false, true]) {
    t.equal(findModelInForm(many, urlencoded, { strict, isWhole: true }), 'unread')
    t.equal(findModelInForm(parts, 'multipart/form-data; boundary=b', { strict, isWhole: true }), 'unread')
  }
  t.equal(modelsInForm(many, urlencoded), undefined)
  t.equal(modelsInForm(parts, 'multipart/form-data; boundary=b'), undefined)
  t.match(findModelInForm(Buffer.from(`${'a&'.repeat(500)}model=m`), urlencoded, WHOLE), { text: 'm' })
})

t.test('a strict reading refuses a second model, and what may be taken for one', async (t) => {
  const strict = { strict: true, isWhole: true }
  const part = (head: string, value: string) => `--b\r\n${head}\r\n\r\n${value}\r\n`
  const field = (name: string, value: string) => part(`Content-Disposition: form-data; name="${name}"`, value)
  const multipart: [body: string, expected: unknown][] = [
    [`${field('model', 'm')}--b--`, { text: 'm' }],
    [`preamble\r\n${field('a', 'b')}${field('model', 'm')}--b--\r\nepilogue`, { text: 'm' }],
    [`${part('content-disposition:form-data;name=model', 'm')}--b--`, { text: 'm' }],
    [
      `${part('X: y\r\nCONTENT-DISPOSITION: form-data; filename="; name=\\"model\\""; name="a"', 'm')}--b--`,
      'none',
    ],
    [`${field('model', 'm')}${field('model', 'm')}--b--`, 'ambiguous'],
    [`${field('model', 'm')}${field('MODEL', 'n')}--b--`, 'ambiguous'],
    [`${part('Content-Disposition: form-data; name="model"; filename="x"', 'm')}--b--`, 'ambiguous'],
    [field('model', 'm'), 'unread'],
    [`${field('model', 'x'.repeat(2_000))}--b--`, 'unread'],
    ['no form at all', 'unread'],
    ['', 'unread'],
  ]
  for (const [body, expected] of multipart) {
    const scan = findModelInForm(Buffer.from(body), 'multipart/form-data; boundary=b', strict)
    if (typeof expected === 'string') t.equal(scan, expected, body.slice(0, 60))
    else t.match(scan, expected, body.slice(0, 60))
  }
  t.equal(
    findModelInForm(Buffer.from(`${field('model', 'm')}--b--`), 'multipart/form-data', strict),
    'unread',
  )
  const form = (body: string) =>
    findModelInForm(Buffer.from(body), 'application/x-www-form-urlencoded', strict)
  t.match(form('a=b&model=m+n%2F1'), { text: 'm n/1' })
  t.equal(form('model=a&model=a'), 'ambiguous')
  t.equal(form('model=a&Model=b'), 'ambiguous')
  t.equal(form('a=b'), 'none')
  t.equal(form('model=%zz'), 'unread')
})
