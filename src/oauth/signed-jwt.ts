/**
 * Signs a JWT (RFC 7515, RFC 7518 §3) with node:crypto.
 */
import { constants, createHmac, createPrivateKey, randomUUID, sign } from 'node:crypto'
import type { SignedJwt } from '../provider/signed-jwt-config.ts'
import { readSimpleSource, SourceTrouble } from './simple-sources.ts'

export interface Signed {
  readonly jwt: string
  /** Epoch ms. */
  readonly expiresAt: number
}

/** @param now epoch ms. @throws SourceTrouble */
export async function signJwt(config: SignedJwt, now: number): Promise<Signed> {
  const { algorithm, header, claims, stamp, unitMs, lifetimeMs, backdateMs } = config
  const secret = await readSimpleSource(config.key)
  const issuedAt = now - backdateMs
  const payload = {
    ...claims,
    [stamp.iat]: Math.floor(issuedAt / unitMs),
    // From there on: servers measure how long it is meant to live.
    [stamp.exp]: Math.floor((issuedAt + lifetimeMs) / unitMs),
    ...(stamp.jti !== undefined && { [stamp.jti]: randomUUID() }),
  }
  const input = `${part({ alg: algorithm, typ: 'JWT', ...header })}.${part(payload)}`
  const signature = signatureOf(Buffer.from(input), secret, config)
  return { jwt: `${input}.${signature.toString('base64url')}`, expiresAt: issuedAt + lifetimeMs }
}

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function signatureOf(input: Buffer, secret: string, { algorithm, key }: SignedJwt): Buffer {
  if (algorithm === 'HS256') return createHmac('sha256', secret).update(input).digest()
  try {
    const { type, ...how } = HOW[algorithm]
    const privateKey = createPrivateKey(secret)
    if (privateKey.asymmetricKeyType === type) return sign('sha256', input, { key: privateKey, ...how })
    throw new TypeError(`a key of type ${privateKey.asymmetricKeyType}`)
  } catch {
    throw new SourceTrouble(`${key.name} is not a private key in PEM for ${algorithm}`, true)
  }
}

const HOW = {
  RS256: { type: 'rsa', padding: constants.RSA_PKCS1_PADDING },
  PS256: {
    type: 'rsa',
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  },
  ES256: { type: 'ec', dsaEncoding: 'ieee-p1363' },
} as const
