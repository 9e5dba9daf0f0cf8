import fc from 'fast-check'
import t from 'tap'
import { withInputs } from '../../src/provider/provider.ts'
import type { ProviderFile } from '../../src/provider/provider-file.ts'
import { ProviderMistake } from '../../src/provider/provider-mistake.ts'
import { given, providerOf } from './fixtures/file.ts'

/** `INPUT_VALUES=100000` is the long form. */
const VALUES = Number(process.env['INPUT_VALUES'] ?? 6_000)
const SEED = Number(process.env['INPUT_SEED'] ?? 20_261_128)

const LABELS = [
  ['cloud', 'example'],
  ['api', 'vendor', 'com'],
  ['a-b', 'c'],
] as const

/** Signs that end a host, begin another one, or are read as one of these somewhere. */
const SIGN = fc.constantFrom(
  ...'./@:#?\\%&;=+ _-[]{}|^"\'<>`~!$*,()',
  ...[
    '\t',
    '\r',
    '\n',
    '\0',
    '\x7f',
    '\u00ad',
    '\u200b',
    '\u2024',
    '\u3002',
    '\uff0e',
    '\uff0f',
    '\uff20',
    '\u2044',
  ],
  ...['é', 'ß', 'K', 'ﬀ', '０', '\ud800', '％', '：', '＃', '。', '\ufeff', '\u202e'],
)
const WORD = fc.constantFrom(
  'a',
  'B',
  '0',
  'evil.example',
  'localhost',
  '127.0.0.1',
  '[::1]',
  'xn--a',
  '169.254.169.254',
  '0x7f',
  '..',
  '.',
  '//',
  'https://evil.example',
  '%2e',
  '%2f',
  '%40',
  '%23',
  '{x}',
  '{{',
  '{y}',
  '@evil.example',
  'evil.example/',
  '.evil.example',
  'cloud.example',
  '.api.vendor.com',
  'w.api.vendor.com',
  'evil.example#.api.vendor.com',
  'a',
  'abc',
  'us-east-1',
)
const VALUE = fc.oneof(
  { weight: 2, arbitrary: fc.array(fc.oneof(SIGN, WORD), { maxLength: 6 }).map((parts) => parts.join('')) },
  { weight: 1, arbitrary: WORD },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
  { weight: 2, arbitrary: fc.stringMatching(/^[a-z0-9.-]{1,12}$/) },
  {
    weight: 4,
    arbitrary: fc.constantFrom('a', 'b1', 'us-east-1', 'w.api.vendor.com', 'w.cloud.example', 'a.b'),
  },
)

type Inputs = NonNullable<ProviderFile['inputs']>
type Input = Inputs[string]

/** What authors write: careful ones, and careless ones whom the broker has to stop. */
const PATTERN = fc.oneof(
  fc.constantFrom(
    '^[a-z0-9-]+$',
    '^[a-z]+$',
    '^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$',
    '^[A-Za-z0-9]+$',
    '^\\w+$',
    '^\\w+\\.\\w+$',
    '^[a-z]+$|^x',
    '^x|^[a-z]+$',
    '^a|b$',
    '.*',
    '^.*$',
    '^[^/]+$',
    '^[^.]+$',
    '^[^./@:#?\\\\%]+$',
    '^\\S+$',
    '^\\p{L}+$',
    '^[a-z.]+$',
    '^(?:[a-z]+\\.)*[a-z]+$',
    '^(?<id>[a-z]+)$',
    '^[a-z0-9-]+',
    '[a-z]+$',
    '^$',
    '^[\\s\\S]{1}$',
    '^\\D$',
  ),
)
const INPUT: fc.Arbitrary<Input> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<Input>({ pattern: '^[a-z0-9-]+$' }, { pattern: '^\\w+$' }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<Input>(
      { pattern: '^[a-z0-9]+(?:\\.[a-z0-9]+)*$', host_labels: 3 },
      { choices: ['us-east-1', 'eu-west-1'] },
      { type: 'host', allowed_suffixes: ['.api.vendor.com'] },
      { type: 'host', allowed_suffixes: ['.cloud.example', '.a-b.c'] },
    ),
  },
  { weight: 2, arbitrary: fc.record({ pattern: PATTERN, host_labels: fc.constantFrom(1, 2, 3) }) },
  { weight: 1, arbitrary: fc.constantFrom<Input>({}, { choices: ['evil.example/', 'a@b', 'a'] }) },
)
const PIECE = fc.constantFrom(
  '{x}',
  '{y}',
  '{x|lower}',
  '-',
  '.',
  'a',
  'b-',
  '{x}.{y}',
  ':',
  '@',
  '{x|base64}',
)
const BEGIN = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('{x}.', '{x}-a.', 'a-{x}.', '{x}.{y}.', '{x|lower}.', 'a.{x}-') },
  { weight: 1, arbitrary: fc.array(PIECE, { maxLength: 4 }).map((pieces) => pieces.join('')) },
)
const HOST = fc
  .oneof(
    {
      weight: 4,
      arbitrary: fc.tuple(BEGIN, fc.constantFrom(...LABELS)).map(([one, two]) => one + two.join('.')),
    },
    { weight: 1, arbitrary: fc.constant('{x}') },
  )
  .filter((host) => host.includes('{'))
const PATH = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('', '/v1', '/{y}', '/v1/{x}-{y}') },
  {
    weight: 1,
    arbitrary: fc
      .array(fc.constantFrom('/', '/v1', '/{x}', '{y}', '.', '..', '/{x}/..', '/.{y}', '%2e'), {
        maxLength: 4,
      })
      .map((parts) => parts.join('')),
  },
)

/** What the author fixed: the host's text behind its last placeholder, or the suffixes of a host that is an input. */
function endsOf(host: string, inputs: Inputs): readonly string[] {
  const whole = /^\{([xy])\}$/.exec(host)?.[1]
  const suffixes = whole && inputs[whole]?.allowed_suffixes
  return suffixes || [host.slice(host.lastIndexOf('}') + 1)]
}

t.test('whatever a config says, calls go to hosts of the author', async (t) => {
  let accepted = 0
  let refusedFiles = 0
  const perFile = 50
  fc.assert(
    fc.property(
      HOST,
      PATH,
      INPUT,
      INPUT,
      fc.array(fc.tuple(VALUE, VALUE), { minLength: perFile, maxLength: perFile }),
      (host, path, x, y, values) => {
        const used = host + path
        const inputs: Inputs = { ...(used.includes('{x') && { x }), ...(used.includes('{y') && { y }) }
        let template: ReturnType<typeof providerOf>
        try {
          template = providerOf({ inputs, upstream: { base_url: `https://${host}${path}` } })
        } catch (error) {
          if (!(error instanceof ProviderMistake)) throw error
          refusedFiles += 1
          return
        }
        const ends = endsOf(host, inputs)
        const places = new URL(
          `https://${host.replaceAll(/\{[^}]*\}/g, 'a')}${path.replaceAll(/\{[^}]*\}/g, 'a')}`,
        )
        for (const [one, other] of values) {
          const provider = withInputs(template, given({ x: one, y: other }))
          if (provider.lacking.length > 0) continue
          accepted += 1
          const { baseUrl = '' } = provider.upstream
          const url = new URL(baseUrl)
          const said = JSON.stringify({ host, path, inputs, one, other, baseUrl })
          if (url.protocol !== 'https:' || url.username || url.password || url.search || url.hash)
            throw new Error(said)
          if (!ends.some((end) => url.host === end || (url.host.endsWith(end) && end !== '')))
            throw new Error(said)
          // The first of them may be joined to what was filled in.
          const wholeLabels = Math.min(...ends.map((end) => end.split('.').length - 1))
          if (wholeLabels < 2) throw new Error(`too little is the author's: ${said}`)
          if (url.pathname.split('/').length > places.pathname.split('/').length) throw new Error(said)
          if (!baseUrl.startsWith(`https://${url.host}`)) throw new Error(said)
        }
      },
    ),
    { numRuns: Math.ceil(VALUES / perFile), seed: SEED },
  )
  t.ok(accepted > VALUES / 100, `${accepted} of ${VALUES} values were taken`)
  t.ok(refusedFiles > 10, `${refusedFiles} files were refused`)
})
