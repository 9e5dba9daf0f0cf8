/**
 * The words of a provider file's `authorization_server` block, as a schema (docs/providers.md).
 */
import Type from 'typebox'
import { SOURCE } from './source-schema.ts'

const closed = { additionalProperties: false }
const line = Type.String({ minLength: 1 })
const headers = Type.Record(
  Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" }),
  Type.String({ pattern: '^[\\x20-\\x7e]*$' }),
  closed,
)

const params = Type.Record(
  Type.String({ pattern: '^[A-Za-z0-9._:-]+$' }),
  Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1 })]),
  closed,
)

/** How the answer of a login by authorization code comes back (RFC 8252 §7.3 for the terminal). */
const REDIRECT_FILE = Type.Object(
  {
    callback: Type.Optional(Type.Boolean()),
    loopback: Type.Optional(
      Type.Object(
        {
          host: Type.Optional(Type.Enum(['127.0.0.1', '::1', 'localhost'])),
          port: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535 })),
          path: Type.Optional(Type.String({ pattern: '^/[A-Za-z0-9._~/-]*$' })),
        },
        closed,
      ),
    ),
    paste: Type.Optional(Type.Boolean()),
  },
  closed,
)
export type RedirectFile = Type.Static<typeof REDIRECT_FILE>

export const AUTHORIZATION_SERVER_FILE = Type.Object(
  {
    issuer: Type.Optional(line),
    device_authorization_endpoint: Type.Optional(line),
    authorization_endpoint: Type.Optional(line),
    token_endpoint: Type.Optional(line),
    revocation_endpoint: Type.Optional(line),
    /** Only where a token is traded for another one there may be none. */
    client_id: Type.Optional(line),
    client_secret: Type.Optional(line),
    client_authentication: Type.Optional(
      Type.Enum([
        'client_secret_basic',
        'client_secret_post',
        'private_key_jwt',
        'client_assertion',
        'tls',
        'none',
      ]),
    ),
    private_key: Type.Optional(SOURCE),
    /** In PEM; its SHA-256 goes into the head of the assertion (`x5t#S256`). */
    certificate: Type.Optional(SOURCE),
    /** A JWT that somebody else has signed (RFC 7521 §4.2). */
    client_assertion: Type.Optional(SOURCE),
    /** `issuer`, `token_endpoint`, or a text. */
    assertion_audience: Type.Optional(line),
    key_id: Type.Optional(line),
    algorithm: Type.Optional(Type.Enum(['RS256', 'PS256', 'ES256'])),
    scope: Type.Optional(Type.String()),
    /** Of an access token, where the answer does not say. */
    lifetime_seconds: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
    /** What else a token request and the start of a login say; a list stands there once for each of its members. */
    params: Type.Optional(params),
    /** Of the address that a browser is sent to, and of nothing else. */
    authorization_params: Type.Optional(params),
    redirect: Type.Optional(REDIRECT_FILE),
    headers: Type.Optional(headers),
    body: Type.Optional(Type.Enum(['form', 'json'])),
    pkce: Type.Optional(Type.Boolean()),
  },
  closed,
)
export type AuthorizationServerFile = Type.Static<typeof AUTHORIZATION_SERVER_FILE>
