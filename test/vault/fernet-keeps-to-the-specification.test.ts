import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { FernetKey, generateFernetKey } from '../../src/vault/fernet.ts'

interface Vectors {
  readonly generate: { token: string; now: string; iv: number[]; src: string; secret: string }[]
  readonly verify: { token: string; src: string; secret: string }[]
  readonly invalid: { desc: string; token: string }[]
  readonly secret_of_invalid: string
}

/** https://github.com/fernet/spec: generate.json, verify.json, invalid.json. */
const vectors = JSON.parse(readFileSync(new URL('vectors.json', import.meta.url), 'utf8')) as Vectors

t.test('the vectors of the specification', async (t) => {
  for (const { token, now, iv, src, secret } of vectors.generate) {
    t.equal(new FernetKey(secret).encrypt(src, Date.parse(now), Buffer.from(iv)), token)
  }
  for (const { token, src, secret } of vectors.verify) t.equal(new FernetKey(secret).decrypt(token), src)
  const key = new FernetKey(vectors.secret_of_invalid)
  for (const { desc, token } of vectors.invalid) t.equal(key.decrypt(token), undefined, desc)
  t.ok(vectors.generate.length > 0 && vectors.verify.length > 0 && vectors.invalid.length > 5)
})

t.test('any text comes back as it was, sealed anew each time', async (t) => {
  const key = new FernetKey(generateFernetKey())
  const other = new FernetKey(generateFernetKey())
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (text) => {
      const [one, two] = [key.encrypt(text), key.encrypt(text)]
      return (
        key.decrypt(one) === text &&
        key.decrypt(two) === text &&
        one !== two &&
        other.decrypt(one) === undefined &&
        /^[A-Za-z0-9_-]+={0,2}$/.test(one)
      )
    }),
  )
  const long = 'x'.repeat(8_192)
  t.equal(key.decrypt(key.encrypt(long)), long)
})

t.test('a token changed at any one place is refused', async (t) => {
  const key = new FernetKey(generateFernetKey())
  const token = key.encrypt('a refresh token')
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ \n'
  for (let at = 0; at < token.length; at += 1) {
    for (const letter of alphabet) {
      if (letter === token[at]) continue
      const changed = token.slice(0, at) + letter + token.slice(at + 1)
      if (key.decrypt(changed) !== undefined) t.fail(`accepted with ${letter} at ${at}`)
    }
  }
  const odd = [
    token.replace(/=+$/, ''),
    `${token}=`,
    ` ${token}`,
    `${token}\n`,
    `${token}${token}`,
    token.slice(4),
  ]
  for (const text of odd) t.equal(key.decrypt(text), undefined, text)
})

t.test('a key is 32 bytes in 44 characters of base64url', async (t) => {
  t.match(generateFernetKey(), /^[A-Za-z0-9_-]{43}=$/)
  const bad = [
    '',
    'short',
    'A'.repeat(44),
    'A'.repeat(43),
    `${'+'.repeat(43)}=`,
    Buffer.alloc(33).toString('base64url'),
  ]
  for (const text of bad) t.throws(() => new FernetKey(text), TypeError, text)
  t.doesNotThrow(() => new FernetKey(Buffer.alloc(32).toString('base64url').padEnd(44, '=')))
})
