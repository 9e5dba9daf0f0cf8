/**
 * The environment, checked (interface.md §2).
 *
 * Every mistake is one line that names the setting and never its value.
 */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { Secret } from './secret.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** A setting or file the operator must correct; `message` is one line and holds no value. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

export interface Settings {
  readonly host: string
  readonly port: number
  readonly dataDir: string
  /** undefined: SQLite in `dataDir`. */
  readonly mysqlUrl: Secret | undefined
  /** The first encrypts, all decrypt. */
  readonly encryptionKeys: readonly Secret[]
  readonly usesBuiltInEncryptionKey: boolean
  /** undefined: generated into `dataDir` at start. */
  readonly adminToken: Secret | undefined
  readonly configFile: string | undefined
  readonly corsOrigins: readonly string[]
  readonly trustedProxies: readonly string[]
  readonly logLevel: LogLevel
  readonly shutdownGraceSeconds: number
  readonly workers: number
  readonly isProduction: boolean
  /** Where events are sent, signed with `webhookSecret`. */
  readonly webhookUrl: string | undefined
  readonly webhookSecret: Secret | undefined
  /** How people reach this broker, for links in events; undefined: the address it listens on. */
  readonly publicUrl: string | undefined
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/**
 * Used when TOKEN_ENCRYPTION_KEY is unset (seed 002, "未配置时使用默认值"): 32 bytes, base64url.
 * Public, so it protects nothing; the start warns, and production refuses it.
 */
export const BUILT_IN_ENCRYPTION_KEY = 'dG9rZW4tYnJva2VyIGJ1aWx0LWluIGRldmVsb3AhISE='

const LOOPBACK_HOSTS = new Set(['127.0.0.1', '::1', 'localhost'])
const MIN_ADMIN_TOKEN_LENGTH = 32

/** @throws ConfigError on the first setting that is wrong. */
export function readSettings(env: Environment): Settings {
  const isProduction = env['NODE_ENV'] === 'production'
  const host = env['HOST'] ?? '127.0.0.1'
  if (host === '') throw new ConfigError('HOST is empty: write an address to listen on, e.g. 0.0.0.0')
  const adminToken = secretOf(env, 'ADMIN_TOKEN')
  if (adminToken === undefined && !LOOPBACK_HOSTS.has(host)) {
    throw new ConfigError('ADMIN_TOKEN must be set when HOST is not a loopback address')
  }
  if (adminToken && !LOOPBACK_HOSTS.has(host) && adminToken.reveal().length < MIN_ADMIN_TOKEN_LENGTH) {
    throw new ConfigError(
      `ADMIN_TOKEN must have at least ${MIN_ADMIN_TOKEN_LENGTH} characters when HOST is not a loopback address`,
    )
  }
  return {
    host,
    port: integerOf(env, 'PORT', 8787, 0, 65_535),
    dataDir: resolve(env['DATA_DIR'] || './data'),
    mysqlUrl: mysqlUrlOf(env),
    ...encryptionKeysOf(env, isProduction),
    adminToken,
    configFile: env['CONFIG_FILE'] ? resolve(env['CONFIG_FILE']) : undefined,
    corsOrigins: listOf(env, 'CORS_ORIGINS').map(checkOrigin),
    trustedProxies: listOf(env, 'TRUSTED_PROXIES').map(checkNetwork),
    logLevel: logLevelOf(env),
    shutdownGraceSeconds: integerOf(env, 'SHUTDOWN_GRACE_SECONDS', 600, 0, 86_400),
    workers: integerOf(env, 'WORKERS', 1, 1, 256),
    isProduction,
    ...webhookOf(env),
    publicUrl: originOf(env, 'PUBLIC_URL'),
  }
}

/** The setting itself, or the content of the file that `NAME_FILE` names, without the final line break. */
function secretOf(env: Environment, name: string): Secret | undefined {
  const file = env[`${name}_FILE`]
  let value = env[name]
  if (file !== undefined) {
    if (value !== undefined) throw new ConfigError(`${name} and ${name}_FILE are both set: keep one`)
    try {
      value = readFileSync(file, 'utf8').replace(/\r?\n$/, '')
    } catch (error) {
      throw new ConfigError(`${name}_FILE cannot be read (${(error as NodeJS.ErrnoException).code})`)
    }
  }
  if (value === undefined) return undefined
  if (value.trim() === '') throw new ConfigError(`${name} is empty: unset it or give it a value`)
  return new Secret(value)
}

function integerOf(env: Environment, name: string, fallback: number, min: number, max: number): number {
  const text = env[name]
  if (text === undefined) return fallback
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max)) {
    throw new ConfigError(`${name} must be a whole number from ${min} to ${max}`)
  }
  return value
}

function listOf(env: Environment, name: string): string[] {
  return (env[name] ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

function webhookOf(env: Environment) {
  const url = env['WEBHOOK_URL']
  const webhookSecret = secretOf(env, 'WEBHOOK_SECRET')
  if (url === undefined) return { webhookUrl: undefined, webhookSecret }
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol !== 'https:' && parsed?.protocol !== 'http:') {
    throw new ConfigError('WEBHOOK_URL must be an http or https URL')
  }
  if (!webhookSecret) throw new ConfigError('WEBHOOK_SECRET must be set when WEBHOOK_URL is')
  return { webhookUrl: url, webhookSecret }
}

function originOf(env: Environment, name: string): string | undefined {
  const text = env[name]
  if (text === undefined) return undefined
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new ConfigError(`${name} must be an address like https://broker.example.com`)
  }
  return new URL(text).origin
}

function logLevelOf(env: Environment): LogLevel {
  const level = (env['LOG_LEVEL'] ?? 'info') as LogLevel
  if (!LOG_LEVELS.includes(level)) throw new ConfigError(`LOG_LEVEL must be one of ${LOG_LEVELS.join(', ')}`)
  return level
}

function mysqlUrlOf(env: Environment): Secret | undefined {
  const url = secretOf(env, 'DATABASE_URL')
  if (url === undefined || url.reveal() === 'sqlite:') return undefined
  const parsed = URL.canParse(url.reveal()) ? new URL(url.reveal()) : undefined
  if (parsed?.protocol !== 'mysql:' || parsed.hostname === '' || parsed.pathname.length < 2) {
    throw new ConfigError('DATABASE_URL must be sqlite: or mysql://user:password@host:3306/name')
  }
  return url
}

function encryptionKeysOf(env: Environment, isProduction: boolean) {
  const configured = secretOf(env, 'TOKEN_ENCRYPTION_KEY')
  if (configured === undefined) {
    if (isProduction && env['ALLOW_DEFAULT_ENCRYPTION_KEY'] !== 'true') {
      throw new ConfigError(
        'TOKEN_ENCRYPTION_KEY must be set when NODE_ENV is production; make one with: npx token-broker encryption-key generate',
      )
    }
    return { encryptionKeys: [new Secret(BUILT_IN_ENCRYPTION_KEY)], usesBuiltInEncryptionKey: true }
  }
  const keys = configured.reveal().split(',')
  keys.forEach((key, index) => {
    if (!isFernetKey(key.trim())) {
      throw new ConfigError(
        `TOKEN_ENCRYPTION_KEY: key ${index + 1} is not a Fernet key (32 bytes as base64url, 44 characters); make one with: npx token-broker encryption-key generate`,
      )
    }
  })
  return { encryptionKeys: keys.map((key) => new Secret(key.trim())), usesBuiltInEncryptionKey: false }
}

function isFernetKey(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}=$/.test(text)
}

function checkOrigin(origin: string): string {
  if (!URL.canParse(origin) || new URL(origin).origin !== origin) {
    throw new ConfigError(
      'CORS_ORIGINS must be a comma-separated list of origins like https://app.example.com',
    )
  }
  return origin
}

/** A CIDR network or a single address. Trusting everybody would let a caller choose its own rate-limit bucket. */
function checkNetwork(network: string): string {
  const [address = '', bits, ...rest] = network.split('/')
  const family = isIP(address)
  const max = family === 6 ? 128 : 32
  const isValid = family !== 0 && (bits === undefined || (/^\d+$/.test(bits) && +bits >= 1 && +bits <= max))
  if (!isValid || rest.length > 0) {
    throw new ConfigError(
      'TRUSTED_PROXIES must be a comma-separated list of networks like 10.0.0.0/8; true, a number and /0 are refused',
    )
  }
  return network
}
