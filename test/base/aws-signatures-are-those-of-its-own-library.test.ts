import fc from 'fast-check'
import t from 'tap'
import { type AwsKeys, AwsSigner, type Signable } from '../../src/base/aws-signature.ts'
import { signedByAws } from '../support/aws-server.ts'

const PLACE = { region: 'eu-west-1', service: 'bedrock-mantle' }
const KEYS: AwsKeys = {
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  sessionToken: undefined,
}

function toObject(list: readonly string[]): Record<string, string> {
  return Object.fromEntries(list.flatMap((name, n) => (n % 2 === 0 ? [[name, list[n + 1] ?? '']] : [])))
}

/** What the library makes of the same request. */
function theirs(keys: AwsKeys, { headers, body, ...request }: Signable, at: number) {
  const given = Object.entries(toObject(headers)).filter(([name]) =>
    /^(?:content-(?:type|encoding)|x-amz-.*)$/.test(name),
  )
  if (body === 'unsigned') given.push(['x-amz-content-sha256', 'UNSIGNED-PAYLOAD'])
  const signable = { ...request, headers: Object.fromEntries(given), body: body === 'unsigned' ? null : body }
  return signedByAws(keys, PLACE, signable, at)
}

const segment = fc
  .stringMatching(/^(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-7][0-9A-F]){1,12}$/)
  .filter((one) => !/^\.+$/.test(one))
/** But for a name that the library drops, for it keeps parameters in an object with a prototype. */
const parameter = fc
  .stringMatching(/^(?:[A-Za-z0-9._~!$'()*+,;:@/?-]|%(?:[0-7][0-9A-F]|C3%A9|E6%A8%A1)){1,12}$/)
  .filter((one) => decodeURIComponent(one) !== '__proto__')
const query = fc.array(
  fc
    .tuple(parameter, fc.option(parameter, { nil: undefined }))
    .map(([name, value]) => (value === undefined ? name : `${name}=${value}`)),
  { maxLength: 5 },
)
const headerName = fc.constantFrom(
  'accept',
  'content-type',
  'content-encoding',
  'x-amz-target',
  'x-amz-zeta',
  'x-amz-alpha',
  'anthropic-version',
  'x-custom',
)
const headerValue = fc.stringMatching(/^[\x20-\x7e]{1,30}$/)
const request = fc.record({
  method: fc.constantFrom('GET', 'POST', 'DELETE'),
  host: fc.constantFrom('bedrock-mantle.eu-west-1.api.aws', 'host.example:8443'),
  path: fc
    .tuple(fc.array(segment, { minLength: 1, maxLength: 5 }), fc.boolean(), query)
    .map(([segments, isFolder, parameters]) => {
      const search = parameters.length > 0 ? `?${parameters.join('&')}` : ''
      return `/${segments.join('/')}${isFolder ? '/' : ''}${search}`
    }),
  headers: fc.dictionary(headerName, headerValue).map((headers) => Object.entries(headers).flat()),
  body: fc.oneof(
    fc.constant(null),
    fc.constant('unsigned' as const),
    fc.uint8Array({ maxLength: 200 }).map(Buffer.from),
  ),
})
const keys = fc.record({
  accessKeyId: fc.stringMatching(/^[A-Z0-9]{16,20}$/),
  secretAccessKey: fc.stringMatching(/^[\x21-\x7e]{40}$/),
  sessionToken: fc.option(fc.stringMatching(/^[\x21-\x7e]{1,60}$/), { nil: undefined }),
})
const instant = fc.integer({ min: Date.UTC(2020), max: Date.UTC(2040) })

t.test('2,000 requests are signed as the library of AWS signs them', async (t) => {
  const property = fc.asyncProperty(keys, request, instant, async (keys, request, at) => {
    const ours = toObject(new AwsSigner(keys, PLACE).sign(request, at))
    const { host: _, ...expected } = await theirs(keys, request, at)
    t.equal(ours['authorization'], expected['authorization'])
    return Object.entries(expected).every(([name, value]) => ours[name] === value)
  })
  const run = await fc.check(property, { numRuns: 2_000 })
  t.equal(run.failed, false, JSON.stringify(run.counterexample))
})

/** Facts of openai-node's fixtures (tests/fixtures/bedrock/v1/sigv4.json): what OpenAI's client makes of one call. */
t.test('a call is signed as OpenAI’s client for Bedrock signs it', async (t) => {
  const signer = new AwsSigner(
    { ...KEYS, sessionToken: 'fixture-session-token' },
    { region: 'us-east-1', service: 'bedrock-mantle' },
  )
  const body = Buffer.from(JSON.stringify({ model: 'gpt-4o', input: 'hello' }))
  const headers = ['content-type', 'application/json']
  const call = {
    method: 'POST',
    host: 'bedrock-mantle.us-east-1.api.aws',
    path: '/v1/responses',
    headers,
    body,
  }
  const signed = toObject(signer.sign(call, Date.parse('2025-01-02T03:04:05.000Z')))
  t.match(signed, {
    'x-amz-date': '20250102T030405Z',
    'x-amz-content-sha256': '50329e51ad520f21b77bad0b01999930ff556cd1bf18434701251ba6c9f877bc',
  })
  const names = 'content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token'
  const signature = 'b81279dd7a01b9681012a7cf068f8ab7f663b85f0742741b509315ad22e32175'
  t.equal(
    signed['authorization'],
    `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20250102/us-east-1/bedrock-mantle/aws4_request, SignedHeaders=${names}, Signature=${signature}`,
  )
})

t.test('the key of a day is derived anew when the day ends', async (t) => {
  const signer = new AwsSigner(KEYS, PLACE)
  const request: Signable = { method: 'GET', host: 'a.example', path: '/v1/models', headers: [], body: null }
  for (const at of [
    Date.UTC(2026, 0, 31, 23, 59, 59),
    Date.UTC(2026, 1, 1),
    Date.UTC(2026, 0, 31, 23, 59, 58),
  ]) {
    const { authorization } = await theirs(KEYS, request, at)
    t.equal(toObject(signer.sign(request, at))['authorization'], authorization)
  }
})

t.test('what was signed before is signed anew, and says nothing twice', async (t) => {
  const signer = new AwsSigner({ ...KEYS, sessionToken: 'newer' }, PLACE)
  const request = { method: 'POST', host: 'a.example', path: '/v1/x', body: Buffer.from('{}') }
  const before = new AwsSigner({ ...KEYS, sessionToken: 'older' }, PLACE).sign(
    { ...request, headers: ['accept', '*/*'] },
    0,
  )
  const at = Date.UTC(2026, 5)
  t.same(
    signer.sign({ ...request, headers: before }, at),
    signer.sign({ ...request, headers: ['accept', '*/*'] }, at),
  )
})
