/**
 * `GET /api/audit`: what happened to credentials, newest first.
 */
import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import type { Database } from '../storage/database.ts'

const AUDIT_QUERY = Type.Object({
  page: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
  page_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
  config_id: Type.Optional(Type.String({ minLength: 1, maxLength: 36 })),
})
type AuditQuery = Type.Static<typeof AUDIT_QUERY>

const DEFAULT_PAGE_SIZE = 50

export async function auditRoutes(app: FastifyInstance, { database }: { database: Database }): Promise<void> {
  app.get<{ Querystring: AuditQuery }>(
    '/api/audit',
    { schema: { querystring: AUDIT_QUERY } },
    async ({ query: { page = 1, page_size = DEFAULT_PAGE_SIZE, config_id } }) =>
      database.run(async (db) => {
        const all = db.selectFrom('audit_events')
        const asked = config_id === undefined ? all : all.where('config_id', '=', config_id)
        const counted = await asked
          .select(({ fn }) => fn.countAll<number>().as('total'))
          .executeTakeFirstOrThrow()
        const items = await asked
          .select(['id', 'type', 'config_id', 'config_name', 'provider', 'reason', 'created_at'])
          .orderBy('created_at', 'desc')
          .orderBy('id')
          .limit(page_size)
          .offset((page - 1) * page_size)
          .execute()
        return { total: Number(counted.total), page, page_size, items }
      }),
  )
}
