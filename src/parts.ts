/**
 * Joins the parts that live as long as a process, bottom up, by hand: what is built here is all there is.
 */
import { randomUUID } from 'node:crypto'
import { ModelConfigAdmin } from './admin/model-config-admin.ts'
import { ModelConfigStore } from './admin/model-config-store.ts'
import { ApiKeys } from './api-key/api-keys.ts'
import { KeyLimits } from './api-key/key-limits.ts'
import type { Config } from './base/config.ts'
import { BrokerError } from './base/errors.ts'
import type { Logger } from './base/log.ts'
import { Metrics } from './base/metrics.ts'
import type { Credential } from './credential/credential.ts'
import { CredentialCache } from './credential/credential-cache.ts'
import { Credentials } from './credential/credentials.ts'
import { Journal } from './credential/journal.ts'
import { openTokenPersistence } from './credential/persistence/database-token-persistence.ts'
import { Refresher } from './credential/refresh.ts'
import { createRenew } from './credential/renew.ts'
import { LoginLinks } from './event/login-links.ts'
import { Cooldowns } from './gateway/cooldowns.ts'
import { ModelConfigs } from './model-config/model-configs.ts'
import { AuthorizationServer } from './oauth/authorization-server.ts'
import { revokeToken } from './oauth/revocation.ts'
import { DeviceSessionStore } from './onboarding/device-session-store.ts'
import { DeviceSessions } from './onboarding/device-sessions.ts'
import { ChangeWatcher } from './storage/changes.ts'
import { openDatabase } from './storage/database.ts'
import { createAgent } from './upstream/agent.ts'
import { UpstreamPool } from './upstream/pool.ts'
import { Usage } from './usage/usage.ts'
import { UsageStore } from './usage/usage-store.ts'
import { KeyRing } from './vault/key-ring.ts'

export type Parts = ReturnType<typeof joinParts>

/** Who refreshes: this process itself, or the primary it serves under. */
export type Refreshing = Pick<Refresher, 'refresh' | 'idle'>

/** What a refresh tells the process whose callers wait for it. */
export interface RefreshHooks {
  readonly publish: (credential: Credential) => void
  readonly forget: (configId: string) => void
}

/** Everything that lives as long as the process. @param elsewhere makes the way to a refresher in another process */
export function joinParts(config: Config, log: Logger, elsewhere?: (hooks: RefreshHooks) => Refreshing) {
  const ground = layGround(config, log)
  const held = joinCredentials(ground, elsewhere)
  return { ...ground, ...held, ...joinConfigs(ground, held) }
}

function layGround(config: Config, log: Logger) {
  const database = openDatabase(config)
  return {
    config,
    log,
    database,
    keys: new KeyRing(config.encryptionKeys),
    changes: new ChangeWatcher(database, log),
    metrics: new Metrics(),
    dispatcher: createAgent(),
    upstreams: new UpstreamPool(),
    servers: authorizationServers(config),
  }
}

type Ground = ReturnType<typeof layGround>

/** What holds tokens, and what renews them. */
function joinCredentials(ground: Ground, elsewhere?: (hooks: RefreshHooks) => Refreshing) {
  const { config, log, database, keys, changes, metrics, servers } = ground
  const { clock } = changes
  const credentialStore = openTokenPersistence(database, keys, config.providers)
  const cache = new CredentialCache()
  changes.onChange(() => cache.clear())
  const hooks: RefreshHooks = {
    publish: (credential) => cache.put(credential),
    forget: (configId) => cache.forget(configId),
  }
  const journal = new Journal(config.dataDir, keys)
  const own = new Refresher({
    store: credentialStore,
    journal,
    clock,
    log,
    owner: randomUUID(),
    renew: createRenew(servers, clock),
    ...hooks,
    settled: (outcome) => metrics.refreshed(outcome),
  })
  const refresher = elsewhere ? elsewhere(hooks) : own
  const credentials = new Credentials(cache, credentialStore, refresher, clock)
  return { credentialStore, journal, own, refresher, credentials }
}

/** What people make and ask for: configs, keys, logins, and what was used of them. */
function joinConfigs(ground: Ground, { credentialStore, credentials }: ReturnType<typeof joinCredentials>) {
  const { config, log, database, keys, changes, dispatcher, servers } = ground
  const { clock } = changes
  const relogin = (configId: string, sessionId: string) =>
    configs.update(configId, { oauth_session_id: sessionId })
  const sessions = new DeviceSessions(new DeviceSessionStore(database, keys), servers, clock, log, relogin)
  const configs: ModelConfigAdmin = new ModelConfigAdmin({
    store: new ModelConfigStore(database, changes),
    credentialStore,
    credentials,
    keys,
    providers: config.providers,
    clock,
    dispatcher,
    revoke: (credential) => revoke(credential, servers, log),
    tokensOf: (sessionId) => sessions.tokensOf(sessionId),
  })
  const usageStore = new UsageStore(database)
  return {
    apiKeys: new ApiKeys(database, changes),
    limits: new KeyLimits(),
    cooldowns: new Cooldowns(),
    sessions,
    configs,
    modelConfigs: new ModelConfigs(database, changes),
    loginLinks: new LoginLinks(database, clock),
    usage: new Usage(usageStore, clock, log),
    usageStore,
  }
}

/** Best effort: the config is gone either way. */
async function revoke(credential: Credential, servers: AuthorizationServers, log: Logger): Promise<void> {
  if (credential.provider.kind !== 'device_code') return
  const token = credential.refreshToken ?? credential.accessToken
  const problem = token && (await revokeToken(servers(credential.provider.name), token))
  if (problem) log.warn({ configId: credential.configId, why: problem }, 'the grant could not be revoked')
}

type AuthorizationServers = (provider: string) => AuthorizationServer

function authorizationServers(config: Config): AuthorizationServers {
  const servers = new Map<string, AuthorizationServer>()
  return (name) => {
    const known = servers.get(name)
    if (known) return known
    const provider = config.providers.get(name)
    if (!provider) throw new BrokerError('provider_not_found')
    const server = new AuthorizationServer(provider)
    servers.set(name, server)
    return server
  }
}
