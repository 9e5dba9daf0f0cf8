/**
 * Answers of the management API (docs/api.md, Management), in the words of the wire; those about configs are in
 * `config-answers.ts`.
 */
import Type from 'typebox'
import { type Answer, count, instant, nextCursor, nullable, pageFields, text } from '../base/answers.ts'

const keyFields = {
  id: Type.String(),
  name: Type.String(),
  prefix: text('The first characters of the key.'),
  model_config_ids: nullable(
    Type.Array(Type.String(), { description: 'In order of preference; null: every config.' }),
  ),
  models: nullable(Type.Array(Type.String(), { description: 'null: every model.' })),
  requests_per_minute: nullable(Type.Integer({ description: 'null: no limit.' })),
  may_read_tokens: Type.Boolean({ description: 'It gets the access tokens of its configs.' }),
  expires_at: nullable(instant('When it ends; null: never.')),
  created_at: instant('When it was made.'),
  last_used_at: nullable(instant('To the minute; null: never yet.')),
}

export const API_KEY = Type.Object(keyFields, { title: 'ApiKey', description: 'A broker key.' })
export type ApiKeyItem = Answer<typeof API_KEY>

export const NEW_API_KEY = Type.Object(
  { ...keyFields, key: text('The key itself, which nobody can see again.') },
  { title: 'NewApiKey' },
)
export type NewApiKey = Answer<typeof NEW_API_KEY>

export const API_KEYS = Type.Object(
  {
    total: pageFields.total,
    page: Type.Optional(pageFields.page),
    page_size: Type.Optional(pageFields.page_size),
    next_cursor: nextCursor,
    items: Type.Array(API_KEY),
  },
  { title: 'ApiKeyList', description: 'All of them where nothing is asked for, else a page.' },
)
export type ApiKeyList = Answer<typeof API_KEYS>

const USAGE_ROW = Type.Object(
  {
    group: text('An id, a model, a day (2026-01-31) or the beginning of an hour (ISO 8601).'),
    name: Type.Optional(nullable(text('Of a key that exists, or of a config that ever did.'))),
    at: Type.Optional(instant('With `per`: when the hour or day begins.')),
    requests: count('Calls.'),
    errors: count('Calls that failed.'),
    prompt_tokens: count('As the endpoints counted them.'),
    completion_tokens: count('As the endpoints counted them.'),
  },
  { title: 'UsageRow' },
)
export type UsageRow = Answer<typeof USAGE_ROW>

export const USAGE = Type.Object(
  {
    from: instant('The beginning of an hour.'),
    to: instant('Exclusive.'),
    group_by: Type.Enum(['key', 'config', 'model', 'day', 'hour']),
    items: Type.Array(USAGE_ROW),
  },
  { title: 'Usage' },
)
export type UsageAnswer = Answer<typeof USAGE>

const AUDIT_EVENT = Type.Object(
  {
    id: Type.String(),
    type: text('What happened, as `kind.what`: `config.updated`.'),
    actor: text('Who did it: `admin token`, `console`, `login link`, `api key`, `onboarding`, …'),
    address: nullable(Type.String()),
    config_id: nullable(Type.String()),
    config_name: nullable(text('As it was then.')),
    provider: nullable(Type.String()),
    key_id: nullable(Type.String()),
    key_name: nullable(text('As it was then.')),
    reason: nullable(Type.String()),
    details: nullable(
      Type.Object(
        {
          changed: Type.Optional(Type.Array(Type.String(), { description: 'Names of fields.' })),
          from: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
          to: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
        },
        { additionalProperties: true, description: 'What changed: names and numbers, never a secret.' },
      ),
    ),
    count: count('How often it happened from `created_at` to `last_at`.'),
    created_at: instant('When it happened first.'),
    last_at: instant('When it happened last.'),
  },
  { title: 'AuditEvent' },
)
export type AuditEvent = Answer<typeof AUDIT_EVENT>

export const AUDIT_PAGE = Type.Object(
  { ...pageFields, next_cursor: nextCursor, items: Type.Array(AUDIT_EVENT) },
  { title: 'AuditPage' },
)
export type AuditPage = Answer<typeof AUDIT_PAGE>

export const CONSOLE_SESSION = Type.Object(
  {
    expires_at: instant('When it ends.'),
    csrf_token: text('To be sent as `x-csrf-token` with every call that changes something.'),
  },
  { title: 'ConsoleSession' },
)
export type ConsoleSessionItem = Answer<typeof CONSOLE_SESSION>

export const STATE_COUNTS = Type.Object(
  {
    status: Type.Literal('ok'),
    configs: Type.Record(Type.String(), Type.Integer(), {
      description: 'How many active accounts are in which state.',
    }),
  },
  { title: 'StateCounts' },
)
