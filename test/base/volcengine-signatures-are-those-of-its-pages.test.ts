import fc from 'fast-check'
import t from 'tap'
import { AwsSigner, type Signable } from '../../src/base/aws-signature.ts'
import { volcengineAuthorization } from '../support/volcengine-server.ts'

function toObject(list: readonly string[]): Record<string, string> {
  return Object.fromEntries(list.flatMap((name, n) => (n % 2 === 0 ? [[name, list[n + 1] ?? '']] : [])))
}

function signed(
  { accessKey, secretKey }: { accessKey: string; secretKey: string },
  service: string,
  request: Signable,
  at: number,
): Record<string, string> {
  const place = { dialect: 'volcengine', region: 'cn-north-1', service } as const
  const keys = { accessKeyId: accessKey, secretAccessKey: secretKey, sessionToken: undefined }
  return toObject(new AwsSigner(keys, place).sign(request, at))
}

t.test('as its pages compute it', (t) => {
  // https://www.volcengine.com/docs/6369/67270
  const keys = {
    accessKey: 'AKLTMjI2ODVlYzI3ZGY1NGU4ZjhjYWRjMTlmNTM5OTZkYzE',
    secretKey: 'TnpCak5XWXpZV1U0WkRaaE5ERmxaR0ZpTmpjeVkyUXlZek0wTWpJMU1qWQ==',
  }
  const request = {
    method: 'GET',
    host: 'iam.volcengineapi.com',
    path: '/?Version=2018-01-01&Action=ListUsers&Offset=0&Limit=10',
    headers: ['content-type', 'application/x-www-form-urlencoded; charset=utf-8'],
    body: null,
  }
  t.same(signed(keys, 'iam', request, Date.UTC(2020, 11, 30, 8, 18, 5)), {
    'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
    'x-content-sha256': 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    'x-date': '20201230T081805Z',
    authorization:
      'HMAC-SHA256 Credential=AKLTMjI2ODVlYzI3ZGY1NGU4ZjhjYWRjMTlmNTM5OTZkYzE/20201230/cn-north-1/iam/request, SignedHeaders=content-type;host;x-content-sha256;x-date, Signature=28eeabbbd726b87002e0fe58ad8c1c768e619b06e2646f35b6ad7ed029a6d8a7',
  })
  t.end()
})

const word = fc.stringMatching(/^[\x21-\x7e\u4e00-\u4e20]{1,12}$/)
const request = fc.record({
  method: fc.constantFrom('GET', 'POST'),
  path: fc.array(
    word.filter((one) => !/^\.+$/.test(one)),
    { maxLength: 3 },
  ),
  query: fc.uniqueArray(fc.tuple(word, word), { maxLength: 4, selector: ([name]) => name }),
  headers: fc.dictionary(
    fc.constantFrom('accept', 'content-type', 'x-tt-logid', 'x-alpha'),
    fc.stringMatching(/^[\x21-\x7e]{1,20}$/),
  ),
  body: fc.option(fc.string({ maxLength: 100 }), { nil: undefined }),
})

t.test('2,000 requests are signed as its clients sign them', async (t) => {
  const keys = { accessKey: 'AKLTexample', secretKey: 'c2VjcmV0LW9mLXRoZS1wYWdlcw==' }
  const property = fc.property(
    request,
    fc.integer({ min: Date.UTC(2020), max: Date.UTC(2040) }),
    ({ method, path, query, headers, body }, at) => {
      const search = new URLSearchParams(query).toString().replaceAll('+', '%20')
      const target = `/${path.map(encodeURIComponent).join('/')}${search && `?${search}`}`
      const whole = {
        method,
        host: 'ark.example',
        path: target,
        body: body === undefined ? null : Buffer.from(body),
      }
      const ours = signed(keys, 'ark', { ...whole, headers: Object.entries(headers).flat() }, at)
      const names = /SignedHeaders=([^,]+)/.exec(ours['authorization'] ?? '')?.[1]?.split(';') ?? []
      const arrived = { method, url: target, headers: { ...ours, host: 'ark.example' }, body: body ?? '' }
      const scope = `${ours['x-date']?.slice(0, 8)}/cn-north-1/ark/request`
      const theirs = volcengineAuthorization(arrived, keys, scope, names)
      const isWhole = Object.keys(headers).every((name) => name === 'accept' || names.includes(name))
      return isWhole && ours['authorization'] === theirs
    },
  )
  const run = fc.check(property, { numRuns: 2_000 })
  t.equal(run.failed, false, JSON.stringify(run.counterexample))
})
