/**
 * `GET /api/audit`: who did what, and what happened to credentials, newest first.
 */
import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import { storedObject } from '../base/stored-json.ts'
import type { BySchema } from '../base/typed-routes.ts'
import { type AuditFilter, countAudit, listAudit, placeInAudit } from '../storage/audit-log.ts'
import type { Database } from '../storage/database.ts'
import { AUDIT_PAGE, type AuditEvent } from './answers.ts'
import { guarded } from './guard.ts'
import { INSTANT, instantOf } from './instant.ts'
import { readPage } from './pages.ts'
import { pageQuery } from './schemas.ts'

export interface AuditParts {
  readonly database: Database
  /** Writes down what this process has counted so far. */
  readonly flush: () => Promise<void>
}

const DEFAULT_PAGE_SIZE = 50

const list = Type.String({ minLength: 1, maxLength: 500 })
const AUDIT_QUERY = Type.Object({
  ...pageQuery,
  page_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: DEFAULT_PAGE_SIZE })),
  config_id: Type.Optional(Type.String({ minLength: 1, maxLength: 36 })),
  /** Comma-separated: `config.updated`, or `config` for all of its kind. */
  type: Type.Optional(list),
  /** Comma-separated. */
  actor: Type.Optional(list),
  /** Epoch ms or an ISO date. */
  from: Type.Optional(INSTANT),
  /** Exclusive; a date without a time counts whole. */
  to: Type.Optional(INSTANT),
})
type AuditQuery = Type.Static<typeof AUDIT_QUERY>

export async function auditRoutes(fastify: FastifyInstance, { database, flush }: AuditParts): Promise<void> {
  const app = fastify.withTypeProvider<BySchema>()
  app.get(
    '/api/audit',
    {
      schema: {
        ...guarded('listAudit', 'audit', 'Who did what, and what happened to accounts, newest first'),
        querystring: AUDIT_QUERY,
        response: { 200: AUDIT_PAGE },
      },
    },
    async ({ query }) => {
      const filter = filterOf(query)
      await flush()
      const page = await readPage(
        { page_size: DEFAULT_PAGE_SIZE, ...query },
        {
          question: filter,
          count: () => countAudit(database, filter),
          read: (start, limit) => listAudit(database, filter, start, limit),
          positionOf: placeInAudit,
        },
      )
      return {
        ...page,
        items: page.items.map(({ details, ...row }) => ({ ...row, details: detailsOf(details) })),
      }
    },
  )
}

/** As `recordAudit` wrote them; null where somebody edited them so that they cannot be read. */
function detailsOf(stored: string | null): AuditEvent['details'] {
  return stored === null ? null : (storedObject(stored) ?? null)
}

/** @throws BrokerError invalid_request */
function filterOf({ config_id, type, actor, from, to }: AuditQuery): AuditFilter {
  return {
    configId: config_id,
    types: type?.split(','),
    actors: actor?.split(','),
    from: from === undefined ? undefined : instantOf('from', from),
    to: to === undefined ? undefined : instantOf('to', to),
  }
}
