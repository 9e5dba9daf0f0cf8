/**
 * When calls are answered: not before the tables are there, nor where there is room for no more. Health checks always
 * are.
 */
import { BrokerError } from '../base/errors.ts'
import type { Http } from './http-server.ts'

export interface Readiness {
  /** The tables are there: from now on calls are answered. */
  open(): void
  /** From now on `/health/ready` says no and connections are not kept alive; everything else goes on. */
  drain(): void
  /** Why calls should go elsewhere, in a word or a few; undefined if they need not. */
  readonly problem: () => Promise<string | undefined>
}

/** Before every route. @param storeProblem undefined while there is none */
export function addReadiness(
  { fastify, connections }: Http,
  storeProblem: () => Promise<string | undefined>,
): Readiness {
  let state: 'migrating' | 'open' | 'draining' = 'migrating'
  fastify.addHook('onRequest', (request, reply, done) => {
    if (state === 'draining') reply.raw.shouldKeepAlive = false
    const isHealth = request.url.startsWith('/health/')
    if (state === 'migrating' && !isHealth) {
      done(new BrokerError('storage_unavailable', { retryAfterSeconds: 2 }))
    } else if (connections.isBeyondCap(request.raw.socket) && !isHealth) {
      reply.header('connection', 'close')
      done(new BrokerError('overloaded', { retryAfterSeconds: 1 }))
    } else done()
  })
  return {
    problem: async () => (state === 'open' ? storeProblem() : state),
    open() {
      state = 'open'
    },
    drain() {
      state = 'draining'
    },
  }
}
