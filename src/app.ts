/**
 * The HTTP side of a broker: routes over the parts.
 */
import cors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import { auditRoutes } from './admin/audit-routes.ts'
import { testConnection } from './admin/connection-test.ts'
import { consoleRoutes } from './admin/console-routes.ts'
import { ConsoleSessions } from './admin/console-session.ts'
import { Guard } from './admin/guard.ts'
import { liveRoutes } from './admin/live.ts'
import { providerRoutes } from './admin/provider-routes.ts'
import { type AdminParts, adminRoutes } from './admin/routes.ts'
import { sessionRoutes } from './admin/session-routes.ts'
import { usageRoutes } from './admin/usage-routes.ts'
import type { Config } from './base/config.ts'
import { BrokerError } from './base/errors.ts'
import { callLogger } from './base/log.ts'
import type { Secret } from './base/secret.ts'
import { describeApi } from './docs.ts'
import { Gateway, type GatewayParts } from './gateway/gateway.ts'
import { gatewayRoutes } from './gateway/routes.ts'
import { createHttp, logAnswers } from './http.ts'
import { loginPages } from './onboarding/login-page.ts'
import { createRateLimitStore } from './onboarding/rate-limit-store.ts'
import { onboardingRoutes } from './onboarding/routes.ts'
import type { Parts } from './parts.ts'

export interface App {
  readonly fastify: FastifyInstance
  /** The tables are there: from now on calls are answered. */
  open(): void
  /** From now on `/health/ready` says no and connections are not kept alive; everything else goes on. */
  drain(): void
}

/** @param metrics the text of `/metrics`; several processes answer with their sum */
export async function buildApp(
  parts: Parts,
  adminToken: Secret,
  metrics: () => Promise<string>,
): Promise<App> {
  const { config, log, database, sessions, apiKeys, configs, dispatcher } = parts
  let state: 'migrating' | 'open' | 'draining' = 'migrating'
  const fastify = createHttp(config)
  // Until the tables are there nothing but the health checks can be answered.
  fastify.addHook('onRequest', (request, reply, done) => {
    if (state === 'draining') reply.raw.shouldKeepAlive = false
    if (state === 'migrating' && !request.url.startsWith('/health/')) {
      done(new BrokerError('storage_unavailable', { retryAfterSeconds: 2 }))
    } else done()
  })
  await describeApi(fastify)
  fastify.get('/health/live', async () => ({ status: 'ok' }))
  fastify.get('/health/ready', async (_, reply) => {
    const problem = state === 'open' ? await storeProblem(parts) : state
    return problem ? reply.code(503).send({ status: problem }) : { status: 'ok' }
  })
  await fastify.register((scope) => consoleRoutes(scope))
  await fastify.register(async (scope) => {
    logAnswers(scope, log)
    await scope.register((inner) => loginPages(inner, { sessions, ...loginLinkParts(parts) }))
    const guard = new Guard(adminToken, new ConsoleSessions(adminToken, parts.changes.clock))
    const rateLimitStore = createRateLimitStore(database, parts.changes.clock)
    await scope.register((inner) => sessionRoutes(inner, { guard, rateLimitStore }))
    await scope.register((inner) =>
      managementRoutes(inner, guard, parts, {
        configs,
        apiKeys,
        metrics,
        testConnection: (body) => testConnection(body, dispatcher, config.allowInsecureLoopback),
      }),
    )
  })
  await fastify.register(async (scope) => {
    await allowOrigins(scope, config)
    const { providers } = config
    await scope.register(async (inner) => {
      logAnswers(inner, log)
      await onboardingRoutes(inner, { sessions, database, clock: parts.changes.clock, providers })
    })
    const logCall = callLogger(log)
    const gatewayParts: GatewayParts = { ...parts, providers, configs: parts.modelConfigs, logCall }
    await scope.register((inner) => gatewayRoutes(inner, new Gateway(gatewayParts), gatewayParts))
  })
  return {
    fastify,
    open() {
      state = 'open'
    },
    drain() {
      state = 'draining'
    },
  }
}

async function managementRoutes(
  app: FastifyInstance,
  guard: Guard,
  parts: Parts,
  admin: Omit<AdminParts, 'guard'>,
): Promise<void> {
  const { config, database, changes, log, usage, usageStore } = parts
  await adminRoutes(app, { guard, ...admin }) // its hook guards what follows, too
  await providerRoutes(app, config)
  await usageRoutes(app, { usage, usageStore, clock: changes.clock })
  await auditRoutes(app, { database })
  await liveRoutes(app, { database, changes, log, guard })
}

function loginLinkParts({ loginLinks, configs }: Parts) {
  const target = async (configId: string | undefined) =>
    configId === undefined ? undefined : configs.loginTarget(configId)
  return {
    peekLink: async (link: string) => target(await loginLinks.peek(link)),
    useLink: async (link: string) => target(await loginLinks.use(link)),
  }
}

/** What other sites' pages may call (interface.md §2). A preflight is answered by a route of its own, for all paths. */
const FOR_BROWSERS = /^\/(v1|api\/[^/?]+\/oauth)\//

async function allowOrigins(scope: FastifyInstance, { corsOrigins }: Config): Promise<void> {
  if (corsOrigins.length === 0) return
  const allowed = {
    origin: [...corsOrigins],
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: ['x-request-id', 'x-token-broker-trace', 'retry-after'],
    maxAge: 600,
  }
  await scope.register(cors, {
    delegator: (request, done) => done(null, FOR_BROWSERS.test(request.url) ? allowed : { origin: false }),
  })
}

async function storeProblem({ changes, journal }: Parts): Promise<string | undefined> {
  try {
    await changes.look()
    return journal.isWritable() ? undefined : 'the journal cannot be written'
  } catch {
    return 'the database does not answer'
  }
}
