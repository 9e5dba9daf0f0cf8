import t from 'tap'
import { parseWebSession } from '../../src/credential/persistence/web-session-text.ts'
import { jwt } from '../oauth/fixtures/scripted-server.ts'

const AT = Date.UTC(2030, 0, 1)
const token = jwt({ id: 'u', iat: AT / 1000 - 7 * 86_400, exp: AT / 1000 })

t.test('a token, however it was copied', async (t) => {
  const later = AT / 1000 + 60
  const texts: [string, string, number][] = [
    ['alone', token, AT],
    ['with what an editor adds', `\ufeff${token}\r\n`, AT],
    ['in quotes', `"${token}"`, AT],
    ['out of a header', `Authorization: Bearer ${token}`, AT],
    ['with its type', `bearer  ${token}`, AT],
    ['an answer of /api/v1/auths/', JSON.stringify({ id: 'u', token, expires_at: later }), later * 1000],
    ['whose end is a text', JSON.stringify({ token, expires_at: String(later) }), later * 1000],
    ['without an end', JSON.stringify({ token }), AT],
    ['our own file', JSON.stringify({ access_token: token, expires_at: AT + 1 }), AT + 1],
  ]
  for (const [how, text, expiresAt] of texts) {
    const found = parseWebSession(text)
    t.match(found, { accessToken: token, expiresAt, metadata: { user_id: 'u' } }, how)
  }
})

t.test('what is none', async (t) => {
  for (const text of [
    '',
    ' ',
    'two words',
    '{}',
    '[]',
    'null',
    '1',
    '{"token": ""}',
    '{"token": "a b"}',
    '"a b"',
    `token=${token}; x=y`,
  ])
    t.equal(parseWebSession(text), undefined, text)
})
