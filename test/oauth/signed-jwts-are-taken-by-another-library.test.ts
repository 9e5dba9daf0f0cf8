/** JWTs that the broker signs, verified by a library that is not ours; and what it makes of a key that is none. */
import { createSecretKey, generateKeyPairSync } from 'node:crypto'
import { jwtVerify } from 'jose'
import t from 'tap'
import { Secret } from '../../src/base/secret.ts'
import { signJwt } from '../../src/oauth/signed-jwt.ts'
import type { SignedJwt } from '../../src/provider/signed-jwt-config.ts'

const NOW = 1_800_000_000_000
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 })
const EC = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const SECRET = 'a-secret-of-thirty-two-characters'

function config(fields: Partial<SignedJwt>, key: string): SignedJwt {
  return {
    algorithm: 'RS256',
    key: { from: 'text', name: 'key', text: new Secret(key), lacks: '' },
    header: { kid: 'k1' },
    claims: { iss: 'issuer', aud: ['a', 'b'], scope: 's' },
    stamp: { iat: 'iat', exp: 'exp', jti: 'jti' },
    unitMs: 1_000,
    lifetimeMs: 3_600_000,
    backdateMs: 30_000,
    ...fields,
  }
}

const pem = ({ privateKey }: Pick<typeof RSA, 'privateKey'>) =>
  privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()

const WAYS = [
  ['RS256', pem(RSA), RSA.publicKey],
  ['PS256', pem(RSA), RSA.publicKey],
  ['ES256', pem(EC), EC.publicKey],
  ['HS256', SECRET, createSecretKey(SECRET, 'utf8')],
] as const

for (const [algorithm, key, verifier] of WAYS) {
  t.test(algorithm, async (t) => {
    const { jwt, expiresAt } = await signJwt(config({ algorithm }, key), NOW)
    const { payload, protectedHeader } = await jwtVerify(jwt, verifier, {
      ...{ algorithms: [algorithm], issuer: 'issuer', audience: 'b', currentDate: new Date(NOW) },
      maxTokenAge: 60,
      requiredClaims: ['jti', 'exp'],
    })
    t.same(protectedHeader, { alg: algorithm, typ: 'JWT', kid: 'k1' })
    t.equal(payload.iat, NOW / 1_000 - 30, 'a server whose clock is behind takes it, too')
    t.equal((payload.exp ?? 0) - (payload.iat ?? 0), 3_600, 'no longer than it may be')
    t.equal(expiresAt, (payload.exp ?? 0) * 1_000)
    await t.rejects(jwtVerify(`${jwt.slice(0, -6)}AAAAAA`, verifier), 'one that is changed is refused')
  })
}

t.test('in milliseconds, and under other names', async (t) => {
  const stamp = { iat: 'timestamp', exp: 'exp', jti: undefined }
  const { jwt } = await signJwt(config({ algorithm: 'HS256', stamp, unitMs: 1, claims: {} }, SECRET), NOW)
  const payload = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())
  t.same(payload, { timestamp: NOW - 30_000, exp: NOW - 30_000 + 3_600_000 })
})

t.test('each has a jti of its own', async (t) => {
  const made = await Promise.all([1, 2, 3].map(() => signJwt(config({ algorithm: 'HS256' }, SECRET), NOW)))
  t.equal(new Set(made.map(({ jwt }) => jwt)).size, 3)
})

for (const [name, key, algorithm] of [
  ['no key', 'nothing', 'RS256'],
  ['a key of another kind', pem(EC), 'RS256'],
  ['a public key', RSA.publicKey.export({ type: 'spki', format: 'pem' }).toString(), 'RS256'],
] as const) {
  t.test(`${name} is a person's to mend`, async (t) => {
    await t.rejects(signJwt(config({ algorithm }, key), NOW), {
      message: /^key is not a private key/,
      isLasting: true,
    })
  })
}
