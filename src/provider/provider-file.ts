/**
 * The words of a provider file, as a schema (docs/providers.md); `config/provider.schema.json` is made from it
 * (provider-schema.ts).
 */
import Type from 'typebox'
import { AUTHORIZATION_SERVER_FILE } from './authorization-server-file.ts'
import { AWS_SIGV4_FILE } from './aws-sigv4.ts'
import { CREDENTIAL_KINDS } from './credential-kinds.ts'
import { PROXY_FILE, TLS_FILE } from './egress.ts'
import { EXPIRED_RULES } from './expired-rules.ts'
import { INPUTS, WORDS } from './input-schema.ts'
import { SIGNED_JWT_FILE } from './signed-jwt-config.ts'
import { SOURCE } from './source-schema.ts'
import { TOKEN_REQUEST_FILE } from './token-request-file.ts'
import { UPSTREAM_FILE } from './upstream-file.ts'

const url = Type.String({ minLength: 1 })
const closed = { additionalProperties: false }

/** The file's own words. `null` means unset and is dropped before the check. */
export const PROVIDER_FILE = Type.Object(
  {
    label: Type.Optional(WORDS),
    /** Files of one vendor are one card of the console, and its page tells them apart. */
    vendor: Type.Optional(WORDS),
    /** The plan or the way to authenticate; without it the kind of credential. */
    variant: Type.Optional(WORDS),
    /** Of those of one variant. */
    region: Type.Optional(WORDS),
    /** Where a person gets a key, a session or an account. */
    help_url: Type.Optional(url),
    credential: Type.Enum(CREDENTIAL_KINDS),
    inputs: Type.Optional(INPUTS),
    authorization_server: Type.Optional(AUTHORIZATION_SERVER_FILE),
    /** Of token_exchange and jwt_bearer: the token that is traded; of token_request: `{subject_token}`. */
    subject_token: Type.Optional(SOURCE),
    /** `jwt`, `id_token`, `access_token` (RFC 8693 §3), or a URN. */
    subject_token_type: Type.Optional(url),
    token_request: Type.Optional(TOKEN_REQUEST_FILE),
    signed_jwt: Type.Optional(SIGNED_JWT_FILE),
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
    aws_sigv4: Type.Optional(AWS_SIGV4_FILE),
    upstream: UPSTREAM_FILE,
    /** Of token calls and of upstream. */
    proxy: Type.Optional(PROXY_FILE),
    tls: Type.Optional(TLS_FILE),
    refresh: Type.Optional(
      Type.Object(
        {
          before_seconds: Type.Optional(Type.Number({ minimum: 0 })),
          wait_seconds: Type.Optional(Type.Number({ minimum: 0, maximum: 12 })),
          /** One token for all replicas; else each process gets its own. */
          share: Type.Optional(Type.Boolean()),
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
