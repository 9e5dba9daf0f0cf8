/**
 * A JWT that the broker signs itself (RFC 7519), as a provider file has it.
 */
import Type from 'typebox'
import { SECOND } from '../base/clock.ts'
import type { Fields } from './fields.ts'
import { type SimpleSource, toSimpleSource } from './simple-source.ts'
import { SIMPLE_SOURCE } from './simple-source-schema.ts'

const closed = { additionalProperties: false }
const line = Type.String({ minLength: 1 })
const name = Type.String({ pattern: '^[A-Za-z0-9_:./#-]+$' })
const claim = Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Array(Type.String())])

export const SIGNED_JWT_FILE = Type.Object(
  {
    algorithm: Type.Enum(['RS256', 'PS256', 'ES256', 'HS256']),
    /** PKCS #8 in PEM; for HS256 the secret itself. */
    key: SIMPLE_SOURCE,
    header: Type.Optional(Type.Record(name, line, closed)),
    claims: Type.Optional(Type.Record(name, claim, closed)),
    /** What the claims are called that are about time and use. */
    stamp: Type.Optional(
      Type.Object({ iat: Type.Optional(line), exp: Type.Optional(line), jti: Type.Optional(line) }, closed),
    ),
    time_unit: Type.Optional(Type.Enum(['seconds', 'milliseconds'])),
    lifetime_seconds: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 86_400 })),
    /** It begins so long ago, for the server's clock may be behind. */
    backdate_seconds: Type.Optional(Type.Number({ minimum: 0, maximum: 300 })),
  },
  closed,
)
export type SignedJwtFile = Type.Static<typeof SIGNED_JWT_FILE>

export interface SignedJwt {
  readonly algorithm: SignedJwtFile['algorithm']
  readonly key: SimpleSource
  /** Beside `alg` and `typ`, in the file's order. */
  readonly header: Readonly<Record<string, string>>
  readonly claims: Readonly<Record<string, unknown>>
  /** Undefined: it has no such claim. */
  readonly stamp: { readonly iat: string; readonly exp: string; readonly jti: string | undefined }
  /** Of a unit in which it counts time. */
  readonly unitMs: number
  readonly lifetimeMs: number
  readonly backdateMs: number
}

const LIFETIME_SECONDS = 3_600
const BACKDATE_SECONDS = 30

/** @throws ProviderMistake | UnfitValue */
export function toSignedJwt(file: SignedJwtFile, fields: Fields, ...path: string[]): SignedJwt {
  const { stamp = {}, header = {}, claims = {} } = file
  return {
    algorithm: file.algorithm,
    key: toSimpleSource(file.key, fields, ...path, 'key'),
    header: texts(header, (text, one) => fields.text(text, ...path, 'header', one)),
    claims: texts(claims, (value, one) =>
      typeof value === 'string' ? fields.text(value, ...path, 'claims', one) : value,
    ),
    stamp: { iat: stamp.iat ?? 'iat', exp: stamp.exp ?? 'exp', jti: stamp.jti },
    unitMs: file.time_unit === 'milliseconds' ? 1 : SECOND,
    lifetimeMs: (file.lifetime_seconds ?? LIFETIME_SECONDS) * SECOND,
    backdateMs: (file.backdate_seconds ?? BACKDATE_SECONDS) * SECOND,
  }
}

/** Without those whose optional input is unset. */
function texts<Given, Read>(
  given: Readonly<Record<string, Given>>,
  read: (value: Given, name: string) => Read | undefined,
): Record<string, Read> {
  const found = Object.entries(given).flatMap(([one, value]): [string, Read][] => {
    const text = read(value, one)
    return text === undefined ? [] : [[one, text]]
  })
  return Object.fromEntries(found)
}
