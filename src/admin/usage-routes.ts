/**
 * `GET /api/usage`: what keys used, summed up (docs/api.md, Management).
 */
import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import { type Clock, DAY, HOUR, MINUTE } from '../base/clock.ts'
import type { BySchema } from '../base/typed-routes.ts'
import type { Usage } from '../usage/usage.ts'
import type { UsageQuestion, UsageStore, UsageSum } from '../usage/usage-store.ts'
import { USAGE, type UsageRow } from './answers.ts'
import { guarded } from './guard.ts'
import { INSTANT, instantOf } from './instant.ts'

export interface UsageParts {
  readonly usage: Pick<Usage, 'flush'>
  readonly usageSums: Pick<UsageStore, 'sum'>
  readonly clock: Clock
}

const DEFAULT_SPAN_MS = 30 * DAY

const USAGE_QUERY = Type.Object({
  /** Epoch ms or an ISO date; default 30 days before `to`. */
  from: Type.Optional(INSTANT),
  /** A date without a time counts whole. Default now. */
  to: Type.Optional(INSTANT),
  group_by: Type.Optional(Type.Enum(['key', 'config', 'model', 'day', 'hour'])),
  /** Splits every group by time. */
  per: Type.Optional(Type.Enum(['hour', 'day'])),
  /** Comma-separated. */
  config_id: Type.Optional(Type.String({ maxLength: 4_000 })),
  /** Minutes east of UTC, for where days begin. */
  utc_offset: Type.Optional(Type.Integer({ minimum: -14 * 60, maximum: 14 * 60 })),
})
type UsageQuery = Type.Static<typeof USAGE_QUERY>

export async function usageRoutes(
  fastify: FastifyInstance,
  { usage, usageSums, clock }: UsageParts,
): Promise<void> {
  const app = fastify.withTypeProvider<BySchema>()
  app.get(
    '/api/usage',
    {
      schema: {
        ...guarded('sumUsage', 'usage', 'What keys used, summed up'),
        querystring: USAGE_QUERY,
        response: { 200: USAGE },
      },
    },
    async (request) => {
      const question = questionOf(request.query, clock())
      await usage.flush() // what this process counted is in the answer; others follow within seconds
      const sums = await usageSums.sum(question)
      return {
        from: question.from,
        to: question.to,
        group_by: question.groupBy,
        items: sums.map((sum) => rowOf(sum, question)),
      }
    },
  )
}

/** @throws BrokerError invalid_request */
function questionOf(query: UsageQuery, now: number): UsageQuestion {
  const offsetMs = (query.utc_offset ?? 0) * MINUTE
  const to = query.to === undefined ? now + 1 : instantOf('to', query.to, offsetMs)
  const from = query.from === undefined ? to - DEFAULT_SPAN_MS : instantOf('from', query.from, offsetMs)
  return {
    from: Math.floor(from / HOUR) * HOUR,
    to,
    groupBy: query.group_by ?? 'day',
    per: query.per,
    configIds: query.config_id?.split(','),
    offsetMs,
  }
}

function rowOf(sum: UsageSum, { groupBy, offsetMs }: UsageQuestion): UsageRow {
  const isNamed = groupBy === 'key' || groupBy === 'config'
  return {
    group: typeof sum.group === 'number' ? timeName(sum.group, groupBy, offsetMs) : sum.group,
    ...(isNamed && { name: sum.name }),
    ...(sum.at !== undefined && { at: sum.at }),
    requests: sum.requests,
    errors: sum.errors,
    prompt_tokens: sum.promptTokens,
    completion_tokens: sum.completionTokens,
  }
}

function timeName(at: number, unit: string, offsetMs: number): string {
  return unit === 'day' ? new Date(at + offsetMs).toISOString().slice(0, 10) : new Date(at).toISOString()
}
