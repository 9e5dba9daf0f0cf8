/**
 * The words of a provider file's `upstream` block, as a schema (docs/providers.md).
 */
import Type from 'typebox'
import { TIMEOUTS_FILE } from './way.ts'

const closed = { additionalProperties: false }
const url = Type.String({ minLength: 1 })
const HEADER_NAME = "[A-Za-z0-9!#$%&'*+.^_`|~-]+"
const headers = Type.Record(
  Type.String({ pattern: `^${HEADER_NAME}$` }),
  Type.String({ pattern: '^[\\x20-\\x7e]*$' }),
  closed,
)
const query = Type.Record(Type.String({ pattern: '^[A-Za-z0-9._-]+$' }), Type.String(), closed)
/** How a call shows the credential: in a header, bare or behind a scheme, or in the query. */
const auth = Type.Object(
  {
    header: Type.Optional(Type.String({ pattern: `^${HEADER_NAME}$` })),
    scheme: Type.Optional(Type.String({ pattern: `^${HEADER_NAME}$` })),
    query: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9._-]+$' })),
  },
  closed,
)

const route = Type.Object(
  {
    /** Below `/v1`; it ends where a segment ends. */
    prefix: Type.String({ pattern: '^(/[A-Za-z0-9._~-]+)+$' }),
    /** A path at the same origin, or a URL. */
    base_url: Type.Optional(url),
    auth: Type.Optional(auth),
    headers: Type.Optional(headers),
    query: Type.Optional(query),
  },
  closed,
)

/** Where a call says whose it is. */
const place = Type.String({ pattern: `^(user|prompt_cache_key|header:${HEADER_NAME})$` })

export const UPSTREAM_FILE = Type.Object(
  {
    base_url: Type.Optional(url),
    resource_hosts: Type.Optional(Type.Array(Type.String({ pattern: '^[a-z0-9.-]+(:[0-9]{1,5})?$' }))),
    allow_http_hosts: Type.Optional(
      Type.Array(Type.String({ pattern: '^([a-z0-9._-]+|\\[[0-9a-f:.]+\\]):[0-9]{1,5}$' })),
    ),
    auth: Type.Optional(auth),
    headers: Type.Optional(headers),
    /** Joined to the client's own with a comma. */
    append_headers: Type.Optional(headers),
    /** Sent where the client says nothing of that name. */
    default_headers: Type.Optional(headers),
    query: Type.Optional(query),
    /** Calls below a path that go elsewhere, or otherwise. */
    routes: Type.Optional(Type.Array(route)),
    pass_headers: Type.Optional(Type.Array(Type.String({ pattern: "^[A-Za-z0-9!#$%&'+.^_`|~-]+\\*?$" }))),
    timeouts: Type.Optional(TIMEOUTS_FILE),
    models: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
    keep_alive_seconds: Type.Optional(Type.Number({ minimum: 1, maximum: 300 })),
    sticky_by: Type.Optional(Type.Union([place, Type.Array(place, { minItems: 1 })])),
  },
  closed,
)
export type UpstreamFile = Type.Static<typeof UPSTREAM_FILE>
