/**
 * The environment, checked (README.md, In production).
 *
 * Every mistake is one line that names the setting and never its value.
 */
import { resolve } from 'node:path'
import { parseDatabaseUrl } from '../base/database-url.ts'
import { type EncryptionKeys, encryptionKeysOf } from '../base/encryption-keys.ts'
import {
  booleanOf,
  ConfigError,
  type Environment,
  integerOf,
  type StartWarning,
  secretOf,
  watched,
} from '../base/environment.ts'
import { LOG_LEVELS, type LogLevel } from '../base/log.ts'
import { type ProxySettings, readProxies } from '../base/proxy-settings.ts'
import type { Secret } from '../base/secret.ts'
import { corsOriginsOf, publicUrlOf, trustedProxiesOf, webhookOf } from './network-settings.ts'
import { networkWarnings, openSecretWarnings, slipWarnings } from './start-warnings.ts'

export interface Settings extends EncryptionKeys {
  readonly host: string
  readonly port: number
  readonly dataDir: string
  /** undefined: SQLite in `dataDir`. */
  readonly mysqlUrl: Secret | undefined
  /** undefined: generated into `dataDir` at start. */
  readonly adminToken: Secret | undefined
  /** Reads `/metrics` and nothing else. */
  readonly metricsToken: Secret | undefined
  /** Access tokens may be handed out over the API, to whoever may ask for them. */
  readonly allowsTokenReading: boolean
  readonly configFile: string | undefined
  /** In lower case. */
  readonly corsOrigins: readonly string[]
  readonly trustedProxies: readonly string[]
  readonly proxies: ProxySettings
  readonly logLevel: LogLevel
  readonly shutdownGraceSeconds: number
  /** How long it is known which account made an id. */
  readonly resourceHomeDays: number
  readonly workers: number
  readonly isProduction: boolean
  /** Where events are sent, signed with `webhookSecret`. */
  readonly webhookUrl: string | undefined
  readonly webhookSecret: Secret | undefined
  /** How people reach this broker, for links in events; undefined: the address it listens on. */
  readonly publicUrl: string | undefined
  /** Its path, below which everything is answered as well: '' or e.g. /llm */
  readonly basePath: string
  readonly warnings: readonly StartWarning[]
}

const LOOPBACK_HOSTS = new Set(['127.0.0.1', '::1', 'localhost'])
const MIN_ADMIN_TOKEN_LENGTH = 32

/** @throws ConfigError on the first setting that is wrong. */
export function readSettings(env: Environment): Settings {
  const watch = watched(env)
  const settings = readAll(watch.env)
  const warnings = [
    ...networkWarnings(env, settings.webhookUrl),
    ...slipWarnings(env, watch.asked),
    ...openSecretWarnings(env, watch.asked),
  ]
  return { ...settings, warnings }
}

function readAll(env: Environment): Omit<Settings, 'warnings'> {
  const isProduction = env['NODE_ENV'] === 'production'
  const host = env['HOST'] ?? '127.0.0.1'
  if (host === '') throw new ConfigError('HOST is empty: write an address to listen on, e.g. 0.0.0.0')
  if (isProduction && env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    throw new ConfigError(
      'NODE_TLS_REJECT_UNAUTHORIZED must not switch verification off when NODE_ENV is production; name your own authority in NODE_EXTRA_CA_CERTS',
    )
  }
  return {
    host,
    port: integerOf(env, 'PORT', 8787, 0, 65_535),
    dataDir: resolve(env['DATA_DIR'] || './data'),
    mysqlUrl: mysqlUrlOf(env),
    ...encryptionKeysOf(env, isProduction),
    adminToken: adminTokenOf(env, host),
    metricsToken: secretOf(env, 'METRICS_TOKEN'),
    allowsTokenReading: booleanOf(env, 'ALLOW_TOKEN_READING'),
    configFile: env['CONFIG_FILE'] ? resolve(env['CONFIG_FILE']) : undefined,
    corsOrigins: corsOriginsOf(env),
    trustedProxies: trustedProxiesOf(env),
    proxies: readProxies(env),
    logLevel: logLevelOf(env),
    shutdownGraceSeconds: integerOf(env, 'SHUTDOWN_GRACE_SECONDS', 600, 0, 86_400),
    resourceHomeDays: integerOf(env, 'RESOURCE_HOME_DAYS', 30, 1, 3_650),
    workers: integerOf(env, 'WORKERS', 1, 1, 256),
    isProduction,
    ...webhookOf(env),
    ...publicUrlOf(env),
  }
}

function adminTokenOf(env: Environment, host: string): Secret | undefined {
  const adminToken = secretOf(env, 'ADMIN_TOKEN')
  if (LOOPBACK_HOSTS.has(host)) return adminToken
  if (adminToken === undefined) {
    throw new ConfigError('ADMIN_TOKEN must be set when HOST is not a loopback address')
  }
  const text = adminToken.reveal()
  if (text.length < MIN_ADMIN_TOKEN_LENGTH || new Set(text).size === 1) {
    throw new ConfigError(
      `ADMIN_TOKEN must have at least ${MIN_ADMIN_TOKEN_LENGTH} characters, not one repeated, when HOST is not a loopback address`,
    )
  }
  return adminToken
}

function logLevelOf(env: Environment): LogLevel {
  const level = (env['LOG_LEVEL'] ?? 'info') as LogLevel
  if (!LOG_LEVELS.includes(level)) throw new ConfigError(`LOG_LEVEL must be one of ${LOG_LEVELS.join(', ')}`)
  return level
}

function mysqlUrlOf(env: Environment): Secret | undefined {
  const url = secretOf(env, 'DATABASE_URL')
  return url && parseDatabaseUrl(url.reveal()) ? url : undefined
}
