/**
 * Bodies and queries of the management API (docs/api.md, Management), in the words of the wire.
 */
import Type from 'typebox'
import { MAX_TOKEN_CHARACTERS, REFRESH_TOKEN_PATTERN, TOKEN_PATTERN } from '../oauth/token-response.ts'

const closed = { additionalProperties: false }
const name = Type.String({
  minLength: 1,
  maxLength: 255,
  pattern: '^(?=[^\\x00-\\x1f\\x7f]*\\S)[^\\x00-\\x1f\\x7f]*$',
})
/** Without white space around it, which databases disregard where they compare. */
const externalId = Type.String({
  minLength: 1,
  maxLength: 255,
  pattern: '^(?=\\S)[^\\x00-\\x1f\\x7f]*(?<=\\S)$',
})
const modelId = Type.String({ minLength: 1, maxLength: 255 })
const token = Type.String({ pattern: TOKEN_PATTERN })
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

const MODEL = Type.Object(
  {
    model_id: modelId,
    support_vision: Type.Optional(Type.Boolean()),
    support_thinking: Type.Optional(Type.Boolean()),
  },
  closed,
)

/** As `/status` delivers it (docs/api.md, Onboarding); other fields of the server's answer may come along. */
const OAUTH_TOKEN = Type.Object({
  access_token: token,
  refresh_token: Type.Optional(nullable(Type.String({ pattern: REFRESH_TOKEN_PATTERN }))),
  /** Epoch ms. */
  expires_at: Type.Optional(nullable(Type.Integer({ minimum: 0, maximum: 8_640_000_000_000_000 }))),
  token_type: Type.Optional(Type.String({ maxLength: 50 })),
  scope: Type.Optional(nullable(Type.String({ maxLength: 500 }))),
  resource_url: Type.Optional(nullable(Type.String({ maxLength: 2048 }))),
})
export type OAuthTokenBody = Type.Static<typeof OAUTH_TOKEN>

const inputName = Type.String({ pattern: '^[a-z][a-z0-9_]{0,39}$' })
/** An upload of 64 KiB, which is the most that a file can allow. */
const MAX_INPUT_CHARACTERS = 65_536

const configFields = {
  base_url: Type.Optional(Type.String({ maxLength: 2048 })),
  api_key: Type.Optional(Type.String({ pattern: `^[\\x21-\\x7e]{0,${MAX_TOKEN_CHARACTERS}}$` })),
  is_active: Type.Optional(Type.Boolean()),
  /** Other names for its models: {"gpt-4o": "qwen3-coder-plus"}. */
  aliases: Type.Optional(Type.Record(modelId, modelId)),
  /** What whoever makes it calls it, such as the id of one of their own users: unique. */
  external_id: Type.Optional(nullable(externalId)),
  oauth_token: Type.Optional(nullable(OAUTH_TOKEN)),
  oauth_session_id: Type.Optional(nullable(Type.String({ minLength: 1, maxLength: 64 }))),
  /** Of its provider's file, by name. Left out: as it is; null: unset. */
  inputs: Type.Optional(Type.Record(inputName, nullable(Type.String({ maxLength: MAX_INPUT_CHARACTERS })))),
}

export const NEW_CONFIG = Type.Object(
  {
    name,
    provider: Type.String({ minLength: 1, maxLength: 50 }),
    models: Type.Array(MODEL, { maxItems: 500 }),
    ...configFields,
  },
  closed,
)
export type NewConfigBody = Type.Static<typeof NEW_CONFIG>

export const CONFIG_CHANGE = Type.Object(
  {
    name: Type.Optional(name),
    /** A form may send it along; it cannot be changed. */
    provider: Type.Optional(Type.String({ maxLength: 50 })),
    models: Type.Optional(Type.Array(MODEL, { maxItems: 500 })),
    updated_at: Type.Optional(Type.Integer()),
    ...configFields,
  },
  closed,
)
export type ConfigChangeBody = Type.Static<typeof CONFIG_CHANGE>

export const pageQuery = {
  page: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, default: 1 })),
  page_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 20 })),
  /** In the place of `page`: empty, then each answer's `next_cursor`. */
  cursor: Type.Optional(Type.String({ maxLength: 4_000 })),
}
/** Part of a name. */
const namePart = Type.Optional(Type.String({ maxLength: 255 }))
export type PageQuery = Type.Static<Type.TObject<typeof pageQuery>>

export const CONFIG_QUERY = Type.Object({
  ...pageQuery,
  q: namePart,
  /** Comma-separated. */
  id: Type.Optional(Type.String({ maxLength: 4_000 })),
  provider: Type.Optional(Type.String({ maxLength: 50 })),
  is_active: Type.Optional(Type.Boolean()),
  external_id: Type.Optional(externalId),
  /** Comma-separated, as they are stored: `cooling_down` is `active`. */
  state: Type.Optional(Type.String({ maxLength: 100 })),
  sort: Type.Optional(Type.Enum(['created_at', '-created_at', 'name', 'state'])),
})
export type ConfigQuery = Type.Static<typeof CONFIG_QUERY>

export const STATUS_QUERY = Type.Object({ is_active: Type.Boolean() })

/** Without a model the first one that the endpoint lists. */
export const CONNECTION_TEST = Type.Object(
  {
    /** Whose way to show a key it is; without it a bearer token. */
    provider: Type.Optional(Type.String({ minLength: 1, maxLength: 50 })),
    base_url: Type.String({ minLength: 1, maxLength: 2048 }),
    api_key: token,
    model_id: Type.Optional(modelId),
  },
  closed,
)
export type ConnectionTestBody = Type.Static<typeof CONNECTION_TEST>

const keyFields = {
  /** In order of preference; null: every config. */
  model_config_ids: Type.Optional(
    nullable(Type.Array(Type.String({ minLength: 1, maxLength: 36 }), { maxItems: 500, uniqueItems: true })),
  ),
  /** null: every model. */
  models: Type.Optional(nullable(Type.Array(modelId, { maxItems: 500 }))),
  requests_per_minute: Type.Optional(nullable(Type.Integer({ minimum: 1, maximum: 1_000_000 }))),
  /** Where the operator allows it; never together with `models`, for a token reaches them all. */
  may_read_tokens: Type.Optional(Type.Boolean()),
  /** Epoch ms. */
  expires_at: Type.Optional(nullable(Type.Integer({ minimum: 0, maximum: 8_640_000_000_000_000 }))),
}

export const NEW_KEY = Type.Object({ name, ...keyFields }, closed)

export const KEY_QUERY = Type.Object({
  ...pageQuery,
  q: namePart,
  sort: Type.Optional(Type.Enum(['created_at', '-created_at'])),
})
export type KeyQuery = Type.Static<typeof KEY_QUERY>

export const KEY_CHANGE = Type.Object({ name: Type.Optional(name), ...keyFields }, closed)
export type KeyChangeBody = Type.Static<typeof KEY_CHANGE>

const DAY_SECONDS = 86_400
export const KEY_ROTATION = Type.Object(
  {
    /** How long the key before goes on working. */
    overlap_seconds: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 7 * DAY_SECONDS, default: DAY_SECONDS }),
    ),
  },
  closed,
)

export const TOKEN_REQUEST = Type.Object(
  { config: Type.String({ minLength: 1, maxLength: 255, description: 'The name of a config.' }) },
  closed,
)

export const BY_ID = Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) })
