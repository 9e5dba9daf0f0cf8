/**
 * `/health/live` and `/health/ready`, for load balancers.
 */
import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import { text } from '../base/answers.ts'
import type { BySchema } from '../base/typed-routes.ts'

const OK = Type.Object({ status: Type.Literal('ok') }, { title: 'Healthy' })
const NOT_READY = Type.Object(
  { status: text('What is missing.') },
  { title: 'NotReady', description: 'It cannot do its work, or is on its way down.' },
)

/** @param problem what is missing; undefined: nothing */
export function healthRoutes(fastify: FastifyInstance, problem: () => Promise<string | undefined>): void {
  const app = fastify.withTypeProvider<BySchema>()
  const about = (operationId: string, summary: string) => ({ operationId, tags: ['operations'], summary })
  app.get(
    '/health/live',
    { schema: { ...about('isAlive', 'Whether the process runs'), response: { 200: OK } } },
    async () => ({ status: 'ok' as const }),
  )
  app.get(
    '/health/ready',
    {
      schema: {
        ...about('isReady', 'Whether the broker can do its work'),
        response: { 200: OK, 503: NOT_READY },
      },
    },
    async (_, reply) => {
      const missing = await problem()
      return missing ? reply.code(503).send({ status: missing }) : { status: 'ok' as const }
    },
  )
}
