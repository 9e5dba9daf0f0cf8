/**
 * The HTTP side of a broker: routes over the parts.
 */
import type { FastifyInstance } from 'fastify'
import { auditRoutes } from './admin/audit-routes.ts'
import { testConnection } from './admin/connection-test.ts'
import { consoleRoutes } from './admin/console-routes.ts'
import { ConsoleSessions } from './admin/console-session.ts'
import { EndedSessions } from './admin/ended-sessions.ts'
import { Guard } from './admin/guard.ts'
import { keyRoutes } from './admin/key-routes.ts'
import { liveRoutes } from './admin/live.ts'
import { providerRoutes } from './admin/provider-routes.ts'
import { Refusals } from './admin/refusals.ts'
import { RefusedCalls } from './admin/refused-calls.ts'
import { type AdminParts, adminRoutes } from './admin/routes.ts'
import { sessionRoutes } from './admin/session-routes.ts'
import { brokerTokenRoute, tokenRoutes } from './admin/token-routes.ts'
import { usageRoutes } from './admin/usage-routes.ts'
import { SECOND, within } from './base/clock.ts'
import { descriptorLimit } from './base/descriptors.ts'
import { callLogger } from './base/log.ts'
import type { Secret } from './base/secret.ts'
import { Gateway } from './gateway/gateway.ts'
import { Realtime } from './gateway/realtime.ts'
import { gatewayRoutes } from './gateway/routes.ts'
import { describeApi } from './http/api-description.ts'
import { socketsAKey } from './http/connections.ts'
import { healthRoutes } from './http/health.ts'
import { createHttp, logAnswers } from './http/http-server.ts'
import { type App, addressOf } from './http/listen.ts'
import { allowOrigins, refuseOtherSites } from './http/origins.ts'
import { addReadiness } from './http/readiness.ts'
import { storeHealth } from './http/store-health.ts'
import { loginPages } from './onboarding/login-page.ts'
import { pasteRoute } from './onboarding/paste-route.ts'
import { onboardingRoutes } from './onboarding/routes.ts'
import type { Parts } from './parts.ts'
import { recordAudit } from './storage/audit-log.ts'
import { RateCounters } from './storage/rate-counters.ts'

/** @param metrics the text of `/metrics`; several processes answer with their sum */
export async function buildApp(
  parts: Parts,
  adminToken: Secret,
  metrics: () => Promise<string>,
): Promise<App> {
  const { config } = parts
  const http = createHttp(config)
  const { fastify } = http
  const readiness = addReadiness(http, storeHealth(parts))
  await describeApi(fastify, config)
  healthRoutes(fastify, readiness.problem)
  await fastify.register((scope) => consoleRoutes(scope, config.basePath))
  const counters = new RateCounters(parts.database, parts.changes.clock)
  const reachedAt = () => config.publicUrl ?? addressOf(http)
  const surroundings = { parts, adminToken, counters, reachedAt }
  await fastify.register((scope) => routesForPeople(scope, surroundings, metrics))
  const calls = joinCalls(parts)
  await fastify.register((scope) => routesForPrograms(scope, surroundings, calls))
  return {
    fastify,
    ...readiness,
    cut() {
      calls.realtime.closeAll()
      fastify.server.closeAllConnections()
    },
  }
}

interface Surroundings {
  readonly parts: Parts
  readonly adminToken: Secret
  readonly counters: RateCounters
  /** How people reach this broker, perhaps with a path. */
  readonly reachedAt: () => string
}

function joinCalls(parts: Parts) {
  const joined = { ...parts, providers: parts.config.providers, logCall: callLogger(parts.log) }
  const realtime = new Realtime({ ...joined, socketsAKey: socketsAKey(descriptorLimit()) })
  return { ...joined, gateway: new Gateway(joined), realtime }
}

/** Logins and the management API. */
async function routesForPeople(
  scope: FastifyInstance,
  { parts, adminToken, counters, reachedAt }: Surroundings,
  metrics: () => Promise<string>,
): Promise<void> {
  const { config, log, database, deviceSessions, codeLogins, loginLinks: links, adminConfigs, agents } = parts
  const { clock } = parts.changes
  logAnswers(scope, log)
  await scope.register((inner) =>
    loginPages(inner, { deviceSessions, codeLogins, links, clock, reachedAt, ...config }),
  )
  const refusedCalls = new RefusedCalls(database, clock, log)
  scope.addHook('onClose', () => within(SECOND, refusedCalls.flush())) // a silent database holds no exit up
  const guard = joinGuard(parts, adminToken, new Refusals(counters, refusedCalls, clock))
  await scope.register((inner) => sessionRoutes(inner, { guard }))
  await scope.register((inner) => brokerTokenRoute(inner, parts))
  await scope.register((inner) =>
    managementRoutes(inner, guard, parts, () => refusedCalls.flush(), {
      ...{ adminConfigs, deviceSessions, codeLogins, reachedAt },
      credentialStore: parts.credentialStore,
      configStore: parts.configStore,
      metrics,
      testConnection: (body, language) => testConnection(body, agents, config, language),
    }),
  )
}

/** What pages of other sites may ask for, too: logins of users, and calls. */
async function routesForPrograms(
  scope: FastifyInstance,
  { parts, adminToken, counters }: Surroundings,
  { gateway, realtime, ...calls }: ReturnType<typeof joinCalls>,
): Promise<void> {
  const { config, log, deviceSessions, codeLogins } = parts
  await allowOrigins(scope, config)
  await scope.register(async (inner) => {
    logAnswers(inner, log)
    refuseOtherSites(inner, config)
    await inner.register((codes) => pasteRoute(codes, codeLogins))
    await inner.register((devices) =>
      onboardingRoutes(devices, { deviceSessions, counters, providers: config.providers }),
    )
  })
  await scope.register((inner) => gatewayRoutes(inner, gateway, realtime, { ...calls, adminToken }))
}

function joinGuard({ config, database, changes }: Parts, adminToken: Secret, refusals: Refusals): Guard {
  const { clock } = changes
  return new Guard({
    adminToken,
    metricsToken: config.metricsToken,
    consoleSessions: new ConsoleSessions(adminToken, clock, config.basePath),
    ended: new EndedSessions(database, clock),
    refusals,
    signedIn: (by) => database.run((db) => recordAudit(db, database, { type: 'console.signed_in', by })),
  })
}

async function managementRoutes(
  app: FastifyInstance,
  guard: Guard,
  parts: Parts,
  flush: () => Promise<void>,
  admin: Omit<AdminParts, 'guard'>,
): Promise<void> {
  const { config, database, changes, log, usage, usageSums } = parts
  await adminRoutes(app, { guard, ...admin }) // its hook guards what follows, too
  await tokenRoutes(app, parts)
  await keyRoutes(app, parts)
  await providerRoutes(app, config)
  await usageRoutes(app, { usage, usageSums, clock: changes.clock })
  await auditRoutes(app, { database, flush })
  await liveRoutes(app, { database, changes, log, guard })
}
