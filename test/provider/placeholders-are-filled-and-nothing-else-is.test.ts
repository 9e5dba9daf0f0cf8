import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { fillHeader, fillText, parseTemplate, type Values } from '../../src/provider/placeholders.ts'

const VALUES: Values = new Map([
  ['tenant', { text: 'Contoso', members: new Map() }],
  ['account', { text: '{}', members: new Map([['client_email', 'a@b.example']]) }],
  ['braces', { text: '{tenant} {{', members: new Map() }],
  ['unicode', { text: 'é', members: new Map() }],
])

t.test('a text is filled with what it names', async (t) => {
  const texts: [text: string, filled: string | undefined][] = [
    ['', ''],
    ['plain } text', 'plain } text'],
    ['{tenant}', 'Contoso'],
    ['a-{tenant}-{tenant}', 'a-Contoso-Contoso'],
    ['{tenant|upper}', 'CONTOSO'],
    ['{tenant|lower}', 'contoso'],
    ['{tenant|lower|base64}', 'Y29udG9zbw=='],
    ['{account.client_email}', 'a@b.example'],
    ['{{tenant}', '{tenant}'],
    ['{{{tenant}}', '{Contoso}'],
    ['{braces}', '{tenant} {{'],
    ['x{nothing}', undefined],
    ['{account.nothing}', undefined],
    ['{tenant.nothing}', undefined],
    ['{constructor}', undefined],
  ]
  for (const [text, filled] of texts) t.equal(fillText(parseTemplate(text), VALUES), filled, text)
})

t.test('a brace that begins no placeholder is refused, as is a filter that there is not', async (t) => {
  const texts = [
    '{',
    '{}',
    'a{',
    '{ tenant }',
    '{Tenant}',
    '{tenant|}',
    '{tenant|trim}',
    '{a.b.c}',
    '{a+b}',
    '{a{b}}',
  ]
  for (const text of texts) t.throws(() => parseTemplate(text), { name: 'UnreadableTemplate' }, text)
  t.throws(() => parseTemplate('{tenant|constructor}'), { name: 'UnreadableTemplate' })
})

t.test('{uuid} is another one each time', async (t) => {
  const template = parseTemplate('{uuid}')
  const [one, other] = [fillText(template, VALUES), fillText(template, VALUES)]
  t.match(one, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.not(one, other)
})

t.test('the fingerprint of a private key is what openssl makes of it', async (t) => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const der = execFileSync('openssl', ['pkey', '-pubout', '-outform', 'DER'], { input: pem })
  const digest = execFileSync('openssl', ['dgst', '-sha256', '-binary'], { input: der })
  const values: Values = new Map([
    ['key', { text: pem, members: new Map() }],
    ['account', { text: '{}', members: new Map([['key', pem]]) }],
    ['none', { text: 'no key', members: new Map() }],
  ])
  const expected = `SHA256:${digest.toString('base64')}`
  t.equal(fillText(parseTemplate('{key.fingerprint}'), values), expected)
  t.equal(fillText(parseTemplate('A.{account.key.fingerprint}'), values), `A.${expected}`)
  t.throws(() => fillText(parseTemplate('{none.fingerprint}'), values), { name: 'UnfitValue' })
})

t.test('a header takes visible ASCII only', async (t) => {
  t.equal(fillHeader(parseTemplate('Bearer {tenant}'), VALUES), 'Bearer Contoso')
  t.equal(fillHeader(parseTemplate('{nothing}'), VALUES), undefined)
  t.throws(() => fillHeader(parseTemplate('{unicode}'), VALUES), { name: 'UnfitValue' })
  const values = (text: string): Values => new Map([['x', { text, members: new Map() }]])
  for (const text of ['a\r\nb', 'a\nb', '\0', '\x7f', 'a\tb']) {
    t.throws(
      () => fillHeader(parseTemplate('{x}'), values(text)),
      { name: 'UnfitValue' },
      JSON.stringify(text),
    )
  }
})

t.test('whatever a value is, it is taken as it is', async () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom('{', '}', 'a', '|', '.') }),
      (value, text) => {
        const values: Values = new Map([['x', { text: value, members: new Map() }]])
        const literal = text.replaceAll('{', '{{')
        return fillText(parseTemplate(`${literal}{x}${literal}`), values) === text + value + text
      },
    ),
    { numRuns: 2_000 },
  )
})
