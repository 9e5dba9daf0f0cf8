/**
 * `/api/models/configs` and `/api/keys`, behind the admin token (interface.md §5).
 */
import type { FastifyInstance } from 'fastify'
import type { ApiKey, ApiKeys } from '../api-key/api-keys.ts'
import type { ConnectionTestAnswer } from './connection-test.ts'
import type { Guard } from './guard.ts'
import type { ModelConfigAdmin } from './model-config-admin.ts'
import {
  BY_ID,
  CONFIG_CHANGE,
  CONFIG_QUERY,
  CONNECTION_TEST,
  type ConfigChangeBody,
  type ConfigQuery,
  type ConnectionTestBody,
  NEW_CONFIG,
  NEW_KEY,
  type NewConfigBody,
  type NewKeyBody,
  STATUS_QUERY,
} from './schemas.ts'

export interface AdminParts {
  readonly guard: Guard
  readonly configs: ModelConfigAdmin
  readonly apiKeys: ApiKeys
  /** Prometheus' text format. */
  readonly metrics: () => Promise<string>
  readonly testConnection: (body: ConnectionTestBody) => Promise<ConnectionTestAnswer>
}

type ById = { Params: { id: string } }

export async function adminRoutes(app: FastifyInstance, parts: AdminParts): Promise<void> {
  const { configs, apiKeys, metrics } = parts

  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    parts.guard.check(request)
  })

  app.post<{ Body: NewConfigBody }>(
    '/api/models/configs',
    { schema: { body: NEW_CONFIG } },
    async (request, reply) => reply.code(201).send(await configs.create(request.body)),
  )
  app.get<{ Querystring: ConfigQuery }>(
    '/api/models/configs',
    { schema: { querystring: CONFIG_QUERY } },
    async (request) => configs.list(request.query),
  )
  app.post<{ Body: ConnectionTestBody }>(
    '/api/models/configs/test-connection',
    { schema: { body: CONNECTION_TEST } },
    async (request) => parts.testConnection(request.body),
  )
  app.get<ById>('/api/models/configs/:id', { schema: { params: BY_ID } }, async (request) =>
    configs.get(request.params.id),
  )
  app.put<ById & { Body: ConfigChangeBody }>(
    '/api/models/configs/:id',
    { schema: { params: BY_ID, body: CONFIG_CHANGE } },
    async (request) => configs.update(request.params.id, request.body),
  )
  app.patch<ById & { Querystring: { is_active: boolean } }>(
    '/api/models/configs/:id/status',
    { schema: { params: BY_ID, querystring: STATUS_QUERY } },
    async (request) => configs.update(request.params.id, { is_active: request.query.is_active }),
  )
  app.delete<ById>('/api/models/configs/:id', { schema: { params: BY_ID } }, async (request, reply) => {
    await configs.delete(request.params.id)
    return reply.code(204).send()
  })
  app.post<ById>('/api/models/configs/:id/diagnose', { schema: { params: BY_ID } }, async (request) =>
    configs.diagnose(request.params.id),
  )
  app.post<ById>('/api/models/configs/:id/refresh', { schema: { params: BY_ID } }, async (request) =>
    configs.refresh(request.params.id),
  )

  app.post<{ Body: NewKeyBody }>('/api/keys', { schema: { body: NEW_KEY } }, async (request, reply) => {
    const { body } = request
    const { record, key } = await apiKeys.create({
      name: body.name,
      modelConfigIds: body.model_config_ids ?? null,
      models: body.models ?? null,
      requestsPerMinute: body.requests_per_minute ?? null,
      expiresAt: body.expires_at ?? null,
    })
    return reply.code(201).send({ ...keyItem(record), key })
  })
  app.get('/api/keys', async () => {
    const records = await apiKeys.list()
    return { total: records.length, items: records.map(keyItem) }
  })
  app.delete<ById>('/api/keys/:id', { schema: { params: BY_ID } }, async (request, reply) => {
    await apiKeys.delete(request.params.id)
    return reply.code(204).send()
  })

  /** For admins: how many configs are in which state. `/health/ready` is for machines and tells less. */
  app.get('/health', async () => ({ status: 'ok', configs: await configs.countStates() }))

  app.get('/metrics', async (_, reply) =>
    reply.type('text/plain; version=0.0.4; charset=utf-8').send(await metrics()),
  )
}

function keyItem(key: ApiKey): object {
  return {
    id: key.id,
    name: key.name,
    prefix: key.prefix,
    model_config_ids: key.modelConfigIds,
    models: key.models,
    requests_per_minute: key.requestsPerMinute,
    expires_at: key.expiresAt,
    created_at: key.createdAt,
  }
}
