/**
 * `GET /api/{provider}/oauth/events`: what `/status` would answer, as server-sent events (interface.md §4).
 *
 * Looks as often as `/status` allows, so a page need not poll. What is wrong at the first look is answered with its
 * status; what goes wrong later is an `error` event. Either way the stream ends there.
 */
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { SECOND, sleep } from '../base/clock.ts'
import { apiErrorBody, BrokerError, toBrokerError } from '../base/errors.ts'

export type StatusRoute = { Params: { provider: string }; Querystring: Record<string, unknown> }
export type Status = { status: 'pending'; retry_after: number } | { status: 'success'; token: object }

const KEEP_ALIVE_MS = 15 * SECOND
const STORE_RETRY_MS = 2 * SECOND

/** @param look throws the BrokerError that `/status` would answer */
export function addStatusEvents(
  app: FastifyInstance,
  path: string,
  look: (request: FastifyRequest<StatusRoute>) => Promise<Status>,
): void {
  const open = new Set<AbortController>()
  app.addHook('preClose', async () => {
    for (const stream of open) stream.abort()
  })

  app.get<StatusRoute>(path, async (request, reply) => {
    const first = await look(request)
    const end = new AbortController()
    open.add(end)
    reply.raw.once('close', () => {
      open.delete(end)
      end.abort()
    })
    const next = () => look(request)
    return reply
      .headers({ 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' })
      .send(Readable.from(lines(first, next, end.signal)))
  })
}

async function* lines(first: Status, look: () => Promise<Status>, end: AbortSignal): AsyncGenerator<string> {
  let status = first
  try {
    for (;;) {
      yield `data: ${JSON.stringify(status)}\n\n`
      if (status.status === 'success') return
      yield* pause(status.retry_after, end)
      for (;;) {
        const seen = await lookUnlessAway(look)
        if (seen) {
          status = seen
          break
        }
        yield* pause(STORE_RETRY_MS, end)
      }
    }
  } catch (thrown) {
    if (end.aborted) return
    yield `event: error\ndata: ${JSON.stringify(apiErrorBody(toBrokerError(thrown)))}\n\n`
  }
}

/** Comments in between, for proxies that close what is silent. */
async function* pause(ms: number, end: AbortSignal): AsyncGenerator<string> {
  let left = ms
  for (; left > KEEP_ALIVE_MS; left -= KEEP_ALIVE_MS) {
    await sleep(KEEP_ALIVE_MS, end)
    yield ': keep-alive\n\n'
  }
  await sleep(left, end)
}

/** Undefined while the database is away; the login goes on without it. */
async function lookUnlessAway(look: () => Promise<Status>): Promise<Status | undefined> {
  try {
    return await look()
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'storage_unavailable') return undefined
    throw error
  }
}
