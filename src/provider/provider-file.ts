/**
 * The words of a provider file, as a schema (docs/providers.md); `config/provider.schema.json` is made from it
 * (provider-schema.ts).
 */
import Type from 'typebox'
import { EXPIRED_RULES } from './expired-rules.ts'
import { INPUTS, WORDS } from './input-schema.ts'
import { UPSTREAM_FILE } from './upstream-file.ts'

const url = Type.String({ minLength: 1 })
const closed = { additionalProperties: false }

/** The file's own words. `null` means unset and is dropped before the check. */
export const PROVIDER_FILE = Type.Object(
  {
    label: Type.Optional(WORDS),
    /** Where a person gets a key, a session or an account. */
    help_url: Type.Optional(url),
    credential: Type.Enum(['device_code', 'client_credentials', 'session', 'api_key']),
    inputs: Type.Optional(INPUTS),
    authorization_server: Type.Optional(
      Type.Object(
        {
          issuer: Type.Optional(url),
          device_authorization_endpoint: Type.Optional(url),
          token_endpoint: Type.Optional(url),
          revocation_endpoint: Type.Optional(url),
          client_id: Type.String({ minLength: 1 }),
          client_secret: Type.Optional(Type.String({ minLength: 1 })),
          client_authentication: Type.Optional(
            Type.Enum(['client_secret_basic', 'client_secret_post', 'private_key_jwt']),
          ),
          private_key: Type.Optional(Type.String({ minLength: 1 })),
          key_id: Type.Optional(Type.String({ minLength: 1 })),
          algorithm: Type.Optional(Type.Enum(['RS256', 'ES256'])),
          scope: Type.Optional(Type.String()),
          pkce: Type.Optional(Type.Boolean()),
        },
        closed,
      ),
    ),
    session: Type.Optional(
      Type.Object(
        {
          refresh_endpoint: url,
          refresh_before_days: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
          check_every_hours: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
        },
        closed,
      ),
    ),
    upstream: UPSTREAM_FILE,
    refresh: Type.Optional(
      Type.Object(
        {
          before_seconds: Type.Optional(Type.Number({ minimum: 0 })),
          wait_seconds: Type.Optional(Type.Number({ minimum: 0, maximum: 12 })),
          timeout_seconds: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 25 })),
          at_once: Type.Optional(Type.Integer({ minimum: 1, maximum: 32 })),
          per_second: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
        },
        closed,
      ),
    ),
    api_key: Type.Optional(
      Type.Object(
        {
          prefix: Type.Optional(Type.String({ minLength: 1 })),
          not: Type.Optional(Type.String({ minLength: 1 })),
          hint: Type.Optional(Type.String()),
          /** Providers of the same vendor: doctor asks them whose key this is. */
          sisters: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
        },
        closed,
      ),
    ),
    errors: Type.Optional(
      Type.Object(
        {
          invalid_grant: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
          refused: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
          quota: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
          /** Answers of upstream that count as 401. */
          expired: Type.Optional(EXPIRED_RULES),
        },
        closed,
      ),
    ),
  },
  closed,
)
export type ProviderFile = Type.Static<typeof PROVIDER_FILE>
