/**
 * `/api/keys`, behind the admin token (docs/api.md, Management).
 */
import type { FastifyInstance } from 'fastify'
import type { ApiKeyFields, StoredKey } from '../api-key/api-key.ts'
import { type ApiKeyReader, positionOf } from '../api-key/api-key-reader.ts'
import type { ApiKeyStore } from '../api-key/api-key-store.ts'
import type { KeyUses } from '../api-key/key-uses.ts'
import { errorAnswers, NOTHING } from '../base/answers.ts'
import type { BySchema } from '../base/typed-routes.ts'
import { API_KEY, API_KEYS, type ApiKeyItem, NEW_API_KEY } from './answers.ts'
import { actorOf, guarded } from './guard.ts'
import { readPage } from './pages.ts'
import {
  BY_ID,
  KEY_CHANGE,
  KEY_QUERY,
  KEY_ROTATION,
  type KeyChangeBody,
  type KeyQuery,
  NEW_KEY,
} from './schemas.ts'

export interface KeyRoutesParts {
  readonly apiKeyReader: ApiKeyReader
  readonly apiKeyStore: ApiKeyStore
  readonly keyUses: Pick<KeyUses, 'of'>
}

const DAY_SECONDS = 86_400

/** In the scope of the guard. */
export async function keyRoutes(
  fastify: FastifyInstance,
  { apiKeyReader, apiKeyStore, keyUses }: KeyRoutesParts,
): Promise<void> {
  const app = fastify.withTypeProvider<BySchema>()
  const item = (record: StoredKey) => keyItem(record, keyUses.of(record))

  app.post(
    '/api/keys',
    {
      schema: {
        ...guarded('createKey', 'keys', 'Makes a key'),
        body: NEW_KEY,
        response: { 201: NEW_API_KEY },
      },
    },
    async (request, reply) => {
      const { name, ...others } = request.body
      const { record, key } = await apiKeyStore.create({ name, ...fieldsOf(others) }, actorOf(request))
      return reply.code(201).send({ ...item(record), key })
    },
  )
  app.get(
    '/api/keys',
    {
      schema: {
        ...guarded('listKeys', 'keys', 'Lists keys, all or page by page'),
        querystring: KEY_QUERY,
        response: { 200: API_KEYS },
      },
    },
    async ({ query }) => {
      const page = await listKeys(query, apiKeyReader)
      return { ...page, items: page.items.map(item) }
    },
  )
  app.patch(
    '/api/keys/:id',
    {
      schema: {
        ...guarded('changeKey', 'keys', 'Changes a key; what is left out stays as it is'),
        params: BY_ID,
        body: KEY_CHANGE,
        response: { 200: API_KEY, ...errorAnswers('key_not_found') },
      },
    },
    async (request) =>
      item(await apiKeyStore.update(request.params.id, fieldsOf(request.body), actorOf(request))),
  )
  app.post(
    '/api/keys/:id/rotate',
    {
      schema: {
        ...guarded('rotateKey', 'keys', 'A new key in the place of one that goes on working for the overlap'),
        params: BY_ID,
        body: KEY_ROTATION,
        response: { 200: NEW_API_KEY, ...errorAnswers('key_not_found') },
      },
      preValidation: async (request) => {
        request.body ??= {}
      },
    },
    async (request) => {
      const overlap = request.body.overlap_seconds ?? DAY_SECONDS
      const { record, key } = await apiKeyStore.rotate(request.params.id, overlap, actorOf(request))
      return { ...item(record), key }
    },
  )
  app.delete(
    '/api/keys/:id',
    {
      schema: {
        ...guarded('deleteKey', 'keys', 'Deletes a key'),
        description: 'No replica takes it after 5 seconds; its open WebSockets are closed.',
        params: BY_ID,
        response: { 204: NOTHING, ...errorAnswers('key_not_found') },
      },
    },
    async (request, reply) => {
      await apiKeyStore.delete(request.params.id, actorOf(request))
      return reply.code(204).send(undefined)
    },
  )
}

/** All, unless something is asked for: so it was before there were pages. @throws BrokerError invalid_request */
async function listKeys(query: KeyQuery, reader: ApiKeyReader) {
  const { q: namePart, sort = 'created_at', page, page_size, cursor } = query
  if ([page, page_size, cursor, namePart, query.sort].every((asked) => asked === undefined)) {
    const items = await reader.all()
    return { total: items.length, items }
  }
  const filter = { namePart, sort }
  return readPage(query, {
    question: filter,
    count: () => reader.count(filter),
    read: (start, limit) => reader.list(filter, start, limit),
    positionOf,
  })
}

/** Those that are given: what is not stays as it is. */
function fieldsOf(body: KeyChangeBody): Partial<ApiKeyFields> {
  return {
    ...(body.name !== undefined && { name: body.name }),
    ...(body.model_config_ids !== undefined && { modelConfigIds: body.model_config_ids }),
    ...(body.models !== undefined && { models: body.models }),
    ...(body.requests_per_minute !== undefined && { requestsPerMinute: body.requests_per_minute }),
    ...(body.may_read_tokens !== undefined && { mayReadTokens: body.may_read_tokens }),
    ...(body.expires_at !== undefined && { expiresAt: body.expires_at }),
  }
}

function keyItem(key: StoredKey, lastUsedAt: number | null): ApiKeyItem {
  return {
    id: key.id,
    name: key.name,
    prefix: key.prefix,
    model_config_ids: key.modelConfigIds,
    models: key.models,
    requests_per_minute: key.requestsPerMinute,
    may_read_tokens: key.mayReadTokens,
    expires_at: key.expiresAt,
    created_at: key.createdAt,
    last_used_at: lastUsedAt,
  }
}
