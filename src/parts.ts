/**
 * Joins the parts that live as long as a process, bottom up, by hand: what is built here is all there is.
 */
import { randomUUID } from 'node:crypto'
import { ModelConfigAdmin } from './admin/model-config-admin.ts'
import { TokenReading } from './admin/token-reading.ts'
import { ApiKeyReader } from './api-key/api-key-reader.ts'
import { ApiKeyStore } from './api-key/api-key-store.ts'
import { ApiKeys } from './api-key/api-keys.ts'
import { KeyLimits } from './api-key/key-limits.ts'
import { KeyUses } from './api-key/key-uses.ts'
import { AwsKeySources } from './aws/aws-keys.ts'
import type { Logger } from './base/log.ts'
import { memoryLimit } from './base/memory.ts'
import { Metrics } from './base/metrics.ts'
import { Acceptances } from './credential/acceptances.ts'
import type { Credential } from './credential/credential.ts'
import { CredentialCache } from './credential/credential-cache.ts'
import { Credentials } from './credential/credentials.ts'
import { Journal } from './credential/journal.ts'
import { Knowledge } from './credential/knowledge.ts'
import { createLocalFetch } from './credential/local-fetch.ts'
import { LocalKeys } from './credential/local-keys.ts'
import { NewLogins } from './credential/new-logins.ts'
import { openTokenPersistence } from './credential/persistence/database-token-persistence.ts'
import { Refresher } from './credential/refresh.ts'
import { RefusedSources } from './credential/refused-sources.ts'
import { createRenew } from './credential/renew.ts'
import { createRevoke } from './credential/revoke.ts'
import { RowSeals } from './credential/row-seals.ts'
import { createTrade } from './credential/two-step.ts'
import { LoginLinks } from './event/login-links.ts'
import { Cooldowns } from './gateway/cooldowns.ts'
import { HeldBodies } from './gateway/held-bodies.ts'
import { HomeStore } from './gateway/home-store.ts'
import { Homes } from './gateway/homes.ts'
import { chooseProxy } from './http1/egress-proxy.ts'
import { ModelConfigReader } from './model-config/model-config-reader.ts'
import { ModelConfigStore } from './model-config/model-config-store.ts'
import { ModelConfigs } from './model-config/model-configs.ts'
import { authorizationServers } from './oauth/authorization-servers.ts'
import { contentOfFiles } from './oauth/sources.ts'
import { CodeLogins } from './onboarding/code-logins.ts'
import { DeviceSessionStore } from './onboarding/device-session-store.ts'
import { DeviceSessions } from './onboarding/device-sessions.ts'
import { loginServers } from './onboarding/login-servers.ts'
import type { Config } from './settings/config.ts'
import { ChangeWatcher } from './storage/changes.ts'
import { openDatabase } from './storage/database.ts'
import { Agents, createAgent, createLoginAgent } from './upstream/agent.ts'
import { TIMEOUTS, UpstreamPool } from './upstream/pool.ts'
import { WebSocketOpener } from './upstream/web-socket.ts'
import { SummedSpans } from './usage/summed-spans.ts'
import { Usage } from './usage/usage.ts'
import { UsageStore } from './usage/usage-store.ts'
import { KeyRing } from './vault/key-ring.ts'

/** One in so many bytes of the memory may hold bodies of calls. */
const SHARE_OF_BODIES = 4

export type Parts = ReturnType<typeof joinParts>

/** Who refreshes: this process itself, or the primary it serves under. */
export type Refreshing = Pick<Refresher, 'refresh' | 'putRight' | 'idle'>

/** What a refresh tells the process whose callers wait for it. */
export interface RefreshHooks {
  /** @param seen undefined: the process that refreshed counts its own changes */
  readonly publish: (credential: Credential, seen?: number) => void
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
  const keyRing = new KeyRing(config.encryptionKeys)
  const proxyFor = chooseProxy(config.proxies)
  const agents = new Agents(createAgent, proxyFor)
  const loginAgents = new Agents(createLoginAgent, proxyFor)
  return {
    config,
    log,
    database,
    keyRing,
    seals: new RowSeals(keyRing),
    changes: new ChangeWatcher(database, log),
    metrics: new Metrics(),
    agents,
    loginAgents,
    upstreams: new UpstreamPool(TIMEOUTS, proxyFor),
    webSockets: new WebSocketOpener(proxyFor),
    servers: authorizationServers(({ egress }) => loginAgents.of(egress)),
  }
}

type Ground = ReturnType<typeof layGround>

/** What holds tokens, and what renews them. */
function joinCredentials(ground: Ground, elsewhere?: (hooks: RefreshHooks) => Refreshing) {
  const { config, log, database, keyRing, seals, changes, metrics, servers, loginAgents, agents } = ground
  const { clock } = changes
  const credentialStore = openTokenPersistence(database, keyRing, seals, config.providers)
  const cache = new CredentialCache(changes)
  const hooks: RefreshHooks = {
    publish: (credential, seen) => cache.publish(credential, seen),
    forget: (configId) => cache.forget(configId),
  }
  const journal = new Journal(config.dataDir, keyRing)
  const renew = createRenew(servers, clock, ({ egress }) => loginAgents.of(egress))
  const own = new Refresher({
    store: credentialStore,
    journal,
    knowledge: new Knowledge(cache, journal),
    changes,
    clock,
    log,
    owner: randomUUID(),
    refusedSources: new RefusedSources(contentOfFiles),
    providers: config.providers,
    renew,
    ...hooks,
    settled: (outcome) => metrics.refreshed(outcome),
  })
  const refresher = elsewhere ? elsewhere(hooks) : own
  const aws = new AwsKeySources((egress) => agents.of(egress), clock)
  const trade = createTrade(
    ({ provider }) => ({ provider, dispatcher: loginAgents.of(provider.egress), clock }),
    refresher,
    clock,
  )
  const note = (row: Credential, refusal: string | undefined) =>
    credentialStore.noteLocal(row, refusal).catch((error: unknown) => {
      log.warn({ err: error, configId: row.configId }, 'what this process was told could not be written')
    })
  const local = new LocalKeys(createLocalFetch({ aws, renew, trade, clock }), note, contentOfFiles, clock)
  const credentials = new Credentials(cache, credentialStore, refresher, local, clock)
  const acceptances = new Acceptances(credentialStore, clock, log)
  return { credentialStore, journal, own, refresher, credentials, acceptances }
}

/** What people make and ask for: configs, keys, logins, and what was used of them. */
function joinConfigs(ground: Ground, held: ReturnType<typeof joinCredentials>) {
  const { credentialStore, credentials, acceptances } = held
  const { config, log, database, keyRing, seals, changes, agents, servers } = ground
  const { clock } = changes
  const logins = new NewLogins(database, seals, credentialStore)
  const deviceSessionStore = new DeviceSessionStore(database, keyRing, seals)
  const { providers } = config
  const providerOf = (configId: string) => credentialStore.providerOf(configId)
  const serverOf = loginServers({ servers, providers, providerOf })
  const loginParts = { store: deviceSessionStore, logins, serverOf, changes, log }
  const deviceSessions = new DeviceSessions(loginParts)
  const configReader = new ModelConfigReader(database)
  const configStore = new ModelConfigStore(database, seals, changes)
  const adminConfigs = new ModelConfigAdmin({
    reader: configReader,
    store: configStore,
    logins,
    credentialStore,
    credentials,
    acceptances,
    keyRing,
    providers,
    clock,
    agents,
    revoke: createRevoke(servers, log),
    tokensOf: (sessionId) => deviceSessions.tokensOf(sessionId),
  })
  const configs = new ModelConfigs(configReader, changes, providers)
  const usageStore = new UsageStore(database)
  const apiKeyReader = new ApiKeyReader(database)
  const apiKeyStore = new ApiKeyStore(database, changes, seals)
  return {
    apiKeys: new ApiKeys(apiKeyStore, changes),
    apiKeyReader,
    apiKeyStore,
    keyUses: new KeyUses(apiKeyStore, clock, log),
    limits: new KeyLimits(),
    cooldowns: new Cooldowns(),
    homes: new Homes({ store: new HomeStore(database), database, clock, log, config }),
    heldBodies: new HeldBodies(memoryLimit() / SHARE_OF_BODIES / config.workers),
    deviceSessions,
    deviceSessionStore,
    codeLogins: new CodeLogins(loginParts),
    adminConfigs,
    configReader,
    configStore,
    logins,
    tokenReading: new TokenReading({ database, reader: configReader, configs, credentials, providers }),
    configs,
    loginLinks: new LoginLinks({ database, keyRing, seals, clock, providers: config.providers }),
    usage: new Usage(usageStore, clock, log),
    usageSums: new SummedSpans(usageStore, clock),
  }
}
