/**
 * `GET /api/{provider}/oauth/events`: what `/status` would answer, as server-sent events (docs/api.md, Onboarding).
 *
 * Looks as often as `/status` allows, so a page need not poll. What is wrong at the first look is answered with its
 * status; what goes wrong later is an `error` event. Either way the stream ends there.
 *
 * A stream costs a connection and a look now and then for as long as a login may take, so few may be open at once.
 */
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { SECOND, sleep } from '../base/clock.ts'
import { apiErrorBody, BrokerError } from '../base/errors.ts'
import { languageFor } from '../base/language.ts'
import { networkOf } from '../base/network.ts'
import { OpenCounts } from '../base/open-counts.ts'
import { EVENT_STREAM_HEADERS, KEEP_ALIVE, serverSentEvent } from '../base/server-sent-events.ts'
import { toBrokerError } from '../base/thrown.ts'
import type { LoginStatus } from './answers.ts'
import { WATCH_LOGIN } from './schemas.ts'

type StatusRoute = {
  Params: { provider: string }
  Querystring: { session_id?: unknown; device_code?: unknown }
}
export type StatusRequest = FastifyRequest<StatusRoute>
/** What one look at a session found. */
export interface Seen {
  readonly rowId: string
  readonly status: LoginStatus
}

const KEEP_ALIVE_MS = 15 * SECOND
const MAX_OPEN_A_SESSION = 5
const MAX_OPEN_A_CALLER = 100
const STORE_RETRY_MS = 2 * SECOND

/** @param look throws the BrokerError that `/status` would answer */
export function addStatusEvents(app: FastifyInstance, look: (request: StatusRequest) => Promise<Seen>): void {
  const open = new Set<AbortController>()
  const perCaller = new OpenCounts(MAX_OPEN_A_CALLER)
  const perSession = new OpenCounts(MAX_OPEN_A_SESSION)
  app.addHook('preClose', async () => {
    for (const stream of open) stream.abort()
  })

  const options = { attachValidation: true, schema: WATCH_LOGIN }
  app.get<StatusRoute>('/api/:provider/oauth/events', options, async (request, reply) => {
    const end = new AbortController()
    reply.raw.once('close', () => end.abort())
    perCaller.enter(networkOf(request.ip), end.signal)
    const first = await look(request)
    perSession.enter(first.rowId, end.signal)
    if (!end.signal.aborted) open.add(end)
    end.signal.addEventListener('abort', () => open.delete(end))
    const next = async () => (await look(request)).status
    const problem = (error: BrokerError) => apiErrorBody(error, languageFor(request))
    return reply
      .headers(EVENT_STREAM_HEADERS)
      .send(Readable.from(lines(first.status, next, end.signal, problem)))
  })
}

async function* lines(
  first: LoginStatus,
  look: () => Promise<LoginStatus>,
  end: AbortSignal,
  problem: (error: BrokerError) => object,
): AsyncGenerator<string> {
  let status = first
  try {
    for (;;) {
      yield serverSentEvent(status)
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
    yield serverSentEvent(problem(toBrokerError(thrown)), 'error')
  }
}

/** Comments in between, for proxies that close what is silent. */
async function* pause(ms: number, end: AbortSignal): AsyncGenerator<string> {
  let left = ms
  for (; left > KEEP_ALIVE_MS; left -= KEEP_ALIVE_MS) {
    await sleep(KEEP_ALIVE_MS, end)
    yield KEEP_ALIVE
  }
  await sleep(left, end)
}

/** Undefined while the database is away; the login goes on without it. */
async function lookUnlessAway(look: () => Promise<LoginStatus>): Promise<LoginStatus | undefined> {
  try {
    return await look()
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'storage_unavailable') return undefined
    throw error
  }
}
