/**
 * `/api/models/configs`, behind the admin token (docs/api.md, Management).
 */
import type { FastifyInstance } from 'fastify'
import { errorAnswers, NOTHING, textOf } from '../base/answers.ts'
import type { Language } from '../base/language.ts'
import type { BySchema } from '../base/typed-routes.ts'
import { STATE_COUNTS } from './answers.ts'
import { type ConnectionTestAnswer, MODEL_CONFIG, MODEL_CONFIG_PAGE } from './config-answers.ts'
import { credentialRoutes } from './credential-routes.ts'
import { actorOf, type Guard, guarded } from './guard.ts'
import { type AccountLoginParts, loginRoutes } from './login-routes.ts'
import type { ModelConfigAdmin } from './model-config-admin.ts'
import {
  BY_ID,
  CONFIG_CHANGE,
  CONFIG_QUERY,
  type ConnectionTestBody,
  NEW_CONFIG,
  STATUS_QUERY,
} from './schemas.ts'

export interface AdminParts extends AccountLoginParts {
  readonly guard: Guard
  readonly adminConfigs: ModelConfigAdmin
  /** Prometheus' text format. */
  readonly metrics: () => Promise<string>
  readonly testConnection: (body: ConnectionTestBody, language: Language) => Promise<ConnectionTestAnswer>
}

export async function adminRoutes(fastify: FastifyInstance, parts: AdminParts): Promise<void> {
  const app = fastify.withTypeProvider<BySchema>()
  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    await parts.guard.check(request)
  })
  configRoutes(fastify, parts.adminConfigs)
  changeRoutes(fastify, parts.adminConfigs)
  credentialRoutes(fastify, parts)
  loginRoutes(fastify, parts)

  app.get(
    '/health',
    {
      schema: {
        ...guarded('countStates', 'operations', 'How many accounts are in which state'),
        description: 'For admins; `/health/ready` is for machines and tells less.',
        response: { 200: STATE_COUNTS },
      },
    },
    async () => ({ status: 'ok' as const, configs: await parts.adminConfigs.countStates() }),
  )
  app.get(
    '/metrics',
    {
      schema: {
        ...guarded('readMetrics', 'operations', 'Metrics for Prometheus'),
        description: 'With the admin token or the metrics token.',
        response: { 200: textOf('text/plain', "Prometheus' text format.") },
      },
    },
    async (_, reply) => reply.type('text/plain; version=0.0.4; charset=utf-8').send(await parts.metrics()),
  )
}

/** Of a change that collides with another, or whose login is not there. */
const CONFLICTS = ['name_taken', 'external_id_taken', 'session_not_ready', 'session_not_found'] as const

function configRoutes(fastify: FastifyInstance, adminConfigs: ModelConfigAdmin): void {
  const app = fastify.withTypeProvider<BySchema>()
  app.post(
    '/api/models/configs',
    {
      schema: {
        ...guarded('createConfig', 'accounts', 'Connects an account'),
        body: NEW_CONFIG,
        response: { 201: MODEL_CONFIG, ...errorAnswers(...CONFLICTS, 'decryption_failed') },
      },
    },
    async (request, reply) => reply.code(201).send(await adminConfigs.create(request.body, actorOf(request))),
  )
  app.get(
    '/api/models/configs',
    {
      schema: {
        ...guarded('listConfigs', 'accounts', 'Lists accounts, page by page'),
        querystring: CONFIG_QUERY,
        response: { 200: MODEL_CONFIG_PAGE },
      },
    },
    async (request) => adminConfigs.list(request.query),
  )
  app.get(
    '/api/models/configs/:id',
    {
      schema: {
        ...guarded('getConfig', 'accounts', 'One account'),
        params: BY_ID,
        response: { 200: MODEL_CONFIG, ...errorAnswers('config_not_found') },
      },
    },
    async (request) => adminConfigs.get(request.params.id),
  )
}

function changeRoutes(fastify: FastifyInstance, adminConfigs: ModelConfigAdmin): void {
  const app = fastify.withTypeProvider<BySchema>()
  app.put(
    '/api/models/configs/:id',
    {
      schema: {
        ...guarded('changeConfig', 'accounts', 'Changes an account, or logs it in again'),
        description: 'Takes any of the fields; what is left out stays as it is.',
        params: BY_ID,
        body: CONFIG_CHANGE,
        response: {
          200: MODEL_CONFIG,
          ...errorAnswers('config_not_found', 'stale_update', ...CONFLICTS, 'decryption_failed'),
        },
      },
    },
    async (request) => adminConfigs.update(request.params.id, request.body, actorOf(request)),
  )
  app.patch(
    '/api/models/configs/:id/status',
    {
      schema: {
        ...guarded('switchConfig', 'accounts', 'Switches an account on or off'),
        params: BY_ID,
        querystring: STATUS_QUERY,
        response: {
          200: MODEL_CONFIG,
          ...errorAnswers('config_not_found', 'stale_update', 'decryption_failed'),
        },
      },
    },
    async (request) =>
      adminConfigs.update(request.params.id, { is_active: request.query.is_active }, actorOf(request)),
  )
  app.delete(
    '/api/models/configs/:id',
    {
      schema: {
        ...guarded('deleteConfig', 'accounts', 'Deletes an account'),
        description: 'Its grant is revoked where the server has an endpoint for it.',
        params: BY_ID,
        response: { 204: NOTHING, ...errorAnswers('config_not_found') },
      },
    },
    async (request, reply) => {
      await adminConfigs.delete(request.params.id, actorOf(request))
      return reply.code(204).send(undefined)
    },
  )
}
