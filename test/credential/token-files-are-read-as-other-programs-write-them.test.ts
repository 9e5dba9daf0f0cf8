import t from 'tap'
import { parseTokenFile } from '../../src/credential/persistence/token-persistence.ts'
import { jwt } from '../oauth/fixtures/scripted-server.ts'

const AT = Date.UTC(2030, 0, 1)
const HOUR = 3_600_000
const own = jwt({ iat: AT / 1000, exp: (AT + HOUR) / 1000 })

t.test('when a token of a file ends is read from whatever says it', async (t) => {
  const files: [string, object, { expiresAt: number | undefined; receivedAt?: number }][] = [
    [
      'our own',
      { access_token: 'a', expires_at: AT, refreshed_at: AT - HOUR },
      { expiresAt: AT, receivedAt: AT - HOUR },
    ],
    ["the official client's", { access_token: 'a', expiry_date: AT }, { expiresAt: AT }],
    ['a number as text', { access_token: 'a', expiry_date: String(AT) }, { expiresAt: AT }],
    ['nothing', { access_token: 'a' }, { expiresAt: undefined }],
    ['a JWT alone', { access_token: own }, { expiresAt: AT + HOUR, receivedAt: AT }],
    ['a JWT and a 0', { access_token: own, expiry_date: 0 }, { expiresAt: AT + HOUR, receivedAt: AT }],
    ['a JWT and an end', { access_token: own, expiry_date: AT }, { expiresAt: AT }],
  ]
  for (const [what, file, expected] of files) {
    const { expiresAt, receivedAt } = parseTokenFile(JSON.stringify(file))
    t.same({ expiresAt, receivedAt }, { receivedAt: undefined, ...expected }, what)
    t.equal(
      parseTokenFile(`\ufeff${JSON.stringify(file)}\r\n`).expiresAt,
      expected.expiresAt,
      `${what}, a BOM`,
    )
  }
})

t.test('tokens of the greatest length are taken, longer ones are none', async (t) => {
  const longest = 'a'.repeat(32_768)
  t.match(parseTokenFile(JSON.stringify({ access_token: longest, refresh_token: longest })), {
    accessToken: longest,
    refreshToken: longest,
  })
  t.throws(() => parseTokenFile(JSON.stringify({ access_token: `${longest}a` })), /no access_token/)
})
