/**
 * What pages of other sites may call (README.md, In production).
 */
import cors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../base/errors.ts'
import type { Config } from '../settings/config.ts'

/** A preflight is answered by a route of its own, for all paths. */
const FOR_BROWSERS = /^\/(v1|api\/([^/?]+\/)?oauth)\//

export async function allowOrigins(scope: FastifyInstance, { corsOrigins }: Config): Promise<void> {
  if (corsOrigins.length === 0) return
  const known = new Set(corsOrigins)
  const allowed = {
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: ['x-request-id', 'x-upstream-request-id', 'x-token-broker-trace', 'retry-after'],
    maxAge: 600,
  }
  await scope.register(cors, {
    delegator: ({ url, headers: { origin = '' } }, done) => {
      const isAllowed = FOR_BROWSERS.test(url) && known.has(origin.toLowerCase())
      done(null, isAllowed ? { ...allowed, origin: [origin] } : { origin: false })
    },
  })
}

/** A page need not be allowed to read an answer to have a visitor's browser ask, as often as it likes. */
export function refuseOtherSites(scope: FastifyInstance, { corsOrigins }: Config): void {
  const known = new Set(corsOrigins)
  scope.addHook('onRequest', (request, _reply, done) => {
    const { 'sec-fetch-site': site, origin = '' } = request.headers
    const isOther = site === 'cross-site' && !known.has(origin.toLowerCase())
    done(isOther && request.method === 'POST' ? new BrokerError('origin_not_allowed') : undefined)
  })
}
