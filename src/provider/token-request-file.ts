/**
 * The words of a provider file's `token_request`, as a schema (docs/providers.md).
 */
import Type from 'typebox'
import { SIMPLE_SOURCE } from './simple-source-schema.ts'

const closed = { additionalProperties: false }
const line = Type.String({ minLength: 1 })
const pointer = Type.String({ pattern: '^(/[^/]*)+$' })
const HEADER_NAME = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
const texts = Type.Record(Type.String({ minLength: 1 }), Type.String(), closed)
const inHeader = Type.Object({ header: Type.String({ pattern: HEADER_NAME }) }, closed)
const unit = Type.Enum(['seconds_left', 'epoch_s', 'epoch_ms', 'rfc3339'])

const RESPONSE = Type.Object(
  {
    /** A JSON pointer (RFC 6901), a header, or the whole body. */
    token: Type.Union([pointer, inHeader, Type.Object({ text: Type.Literal(true) }, closed)]),
    expires: Type.Optional(
      Type.Union([
        Type.Object({ pointer, unit }, closed),
        Type.Object({ header: Type.String({ pattern: HEADER_NAME }), unit }, closed),
        Type.Object({ unit: Type.Literal('jwt_exp') }, closed),
      ]),
    ),
    /** Where the answer does not say. */
    lifetime_seconds: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
    resource_url: Type.Optional(pointer),
    /** For later steps: `{step.name}`. */
    keep: Type.Optional(Type.Record(Type.String({ pattern: '^[a-z][a-z0-9_]*$' }), pointer, closed)),
    /** Where an error's code stands, also at status 200. */
    error: Type.Optional(pointer),
  },
  closed,
)

const STEP = Type.Object(
  {
    name: Type.Optional(Type.String({ pattern: '^[a-z][a-z0-9_]*$' })),
    method: Type.Optional(Type.Enum(['GET', 'POST', 'PUT'])),
    url: line,
    query: Type.Optional(texts),
    headers: Type.Optional(Type.Record(Type.String({ pattern: HEADER_NAME }), Type.String(), closed)),
    basic: Type.Optional(Type.Object({ user: Type.String(), password: Type.String() }, closed)),
    form: Type.Optional(texts),
    /** AWS's signature, or Volcengine's dialect of it, over the request. */
    sign: Type.Optional(
      Type.Object(
        {
          dialect: Type.Enum(['aws', 'volcengine']),
          region: line,
          service: Type.String({ pattern: '^[\\x21-\\x7e]+$' }),
          access_key: SIMPLE_SOURCE,
          secret_key: SIMPLE_SOURCE,
        },
        closed,
      ),
    ),
    /** Of any depth; members whose optional input is unset drop out. */
    json: Type.Optional(Type.Object({})),
    response: RESPONSE,
  },
  closed,
)
export type TokenStepFile = Type.Static<typeof STEP>

const MAX_STEPS = 3
export const TOKEN_REQUEST_FILE = Type.Array(STEP, { minItems: 1, maxItems: MAX_STEPS })
