/**
 * The words for where a text of a token call comes from (SOURCE in docs/providers.md).
 */
import Type from 'typebox'
import { SIGNED_JWT_FILE } from './signed-jwt-config.ts'
import { SIMPLE_SOURCE } from './simple-source-schema.ts'
import { TOKEN_REQUEST_FILE } from './token-request-file.ts'

const closed = { additionalProperties: false }

/**
 * As {@link SIMPLE_SOURCE}, a JWT that is signed for each call, what the machine's metadata service says, or the token
 * that another server gives.
 */
export const SOURCE = Type.Union([
  ...SIMPLE_SOURCE.anyOf,
  Type.Object({ signed_jwt: SIGNED_JWT_FILE }, closed),
  Type.Object({ token_request: TOKEN_REQUEST_FILE }, closed),
  Type.Object(
    {
      metadata: Type.String({ minLength: 1 }),
      headers: Type.Optional(
        Type.Record(
          Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" }),
          Type.String({ pattern: '^[\\x20-\\x7e]*$' }),
          closed,
        ),
      ),
      pointer: Type.Optional(Type.String({ pattern: '^(/[^/]*)+$' })),
    },
    closed,
  ),
])
export type SourceFile = Type.Static<typeof SOURCE>
