/** A server that quotes what it was sent, in whatever form: none of it is shown, stored or logged. */
import t from 'tap'
import { withoutQuoted } from '../../src/base/quoted.ts'

const SECRETS = [
  'lower-case-only/+secret "q"&é of ours',
  'sk-short',
  'eyJhbGciOiJIUzI1NiJ9.eyJpZCI6IjEifQ.c2lnbmF0dXJl',
  'a'.repeat(40),
]

const FORMS: Record<string, (secret: string) => string> = {
  plain: (secret) => secret,
  'percent-encoded': encodeURIComponent,
  'percent-encoded in lower case': (secret) =>
    encodeURIComponent(secret).replace(/%../g, (code) => code.toLowerCase()),
  'a form': (secret) => new URLSearchParams({ token: secret }).toString().slice(6),
  JSON: (secret) => JSON.stringify(secret).slice(1, -1),
  'JSON with escaped slashes': (secret) => JSON.stringify(secret).slice(1, -1).replaceAll('/', '\\/'),
  base64: (secret) => Buffer.from(secret).toString('base64'),
  base64url: (secret) => Buffer.from(secret).toString('base64url'),
  'base64 behind a user': (secret) => Buffer.from(`user:${secret}`).toString('base64'),
  'a form, in base64 behind a user': (secret) =>
    Buffer.from(`user:${new URLSearchParams({ '': secret }).toString().slice(1)}`).toString('base64'),
  hex: (secret) => Buffer.from(secret).toString('hex'),
}

t.test('each secret in each form, alone and amid words', (t) => {
  for (const secret of SECRETS) {
    for (const [name, write] of Object.entries(FORMS)) {
      const written = write(secret)
      const shown = withoutQuoted(`The token ${written} is not known; it was: "${written}".`, [
        undefined,
        '',
        secret,
      ])
      t.match(shown, /^The token .*… ?.*is not known; it was: ".*…/, name)
      for (let at = 0; at + 12 <= written.length; at += 1) {
        const part = written.slice(at, at + 12)
        // In base64 the first and the last letters also hold bits of what is around it.
        const isEdge = name.startsWith('base64') && (at < 12 || at + 16 > written.length)
        if (!isEdge && shown.includes(part)) t.fail(`${name}: ${part} is left in ${shown}`)
      }
    }
  }
  t.end()
})

t.test('what is quoted in part is masked as far as it goes; other words stay', (t) => {
  const [secret = ''] = SECRETS
  t.equal(withoutQuoted(`bad token ${secret.slice(4, 24)}...`, [secret]), 'bad token …...')
  const text = 'invalid_grant: the refresh token is expired, log in again'
  t.equal(withoutQuoted(text, SECRETS), text)
  t.end()
})
