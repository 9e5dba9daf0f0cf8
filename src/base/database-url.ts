/**
 * DATABASE_URL, taken apart: where a MySQL or MariaDB server is, who asks, and what is demanded of its certificate.
 *
 * Every mistake is one line that names the setting and never its value.
 */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { ConfigError } from './environment.ts'

/** By the names that MySQL's own clients give them; each demands what the one before does, and more. */
const SSL_MODES = ['DISABLED', 'REQUIRED', 'VERIFY_CA', 'VERIFY_IDENTITY'] as const
export type SslMode = (typeof SSL_MODES)[number]

export interface MysqlHost {
  /** A name or an address, without brackets. */
  readonly host: string
  readonly port: number
}

export interface MysqlAddress {
  /** One or more, the one to prefer first. */
  readonly hosts: readonly MysqlHost[]
  readonly user: string
  readonly password: string
  readonly database: string
  readonly sslMode: SslMode
  /** PEM: the certificates that are trusted instead of the well-known ones. */
  readonly sslCa: string | undefined
}

const FORM = 'DATABASE_URL must be sqlite: or mysql://user:password@host:3306/name'
const DEFAULT_PORT = 3306
const MODE_NAMES = new Set(['ssl-mode', 'sslmode', 'ssl'])

/** Where the broker's rows are: undefined means SQLite in DATA_DIR. @throws ConfigError */
export function parseDatabaseUrl(text: string): MysqlAddress | undefined {
  if (text === 'sqlite:') return undefined
  const [, authority = '', path = '', query = ''] =
    /^mysql:\/\/([^/?#]*)\/([^/?#]+)(?:\?([^#]*))?$/i.exec(text) ?? []
  if (path === '' || path.includes('@')) throw new ConfigError(looksUnencoded(text) ? NOT_ENCODED : FORM)
  const at = authority.lastIndexOf('@')
  const [user = '', password = '', ...rest] = authority.slice(0, Math.max(at, 0)).split(':')
  if (rest.length > 0 || user.includes('@') || password.includes('@')) throw new ConfigError(NOT_ENCODED)
  return {
    hosts: hostsOf(authority.slice(at + 1)),
    user: decoded(user),
    password: decoded(password),
    database: decoded(path),
    ...sslOf(query),
  }
}

const NOT_ENCODED =
  'DATABASE_URL: write user and password percent-encoded, e.g. %40 for @, %2F for /, %3A for : and %25 for %'

/** A slash, a question mark or a hash in a password ends the host too early. */
function looksUnencoded(text: string): boolean {
  return /^mysql:\/\/[^@]*[/?#][^@]*@/i.test(text)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new ConfigError(NOT_ENCODED)
  }
}

function hostsOf(text: string): MysqlHost[] {
  const hosts = text.split(',').map(hostOf)
  const places = new Set(hosts.map(({ host, port }) => `${host} ${port}`))
  if (places.size < hosts.length) throw new ConfigError('DATABASE_URL names a host twice')
  return hosts
}

function hostOf(text: string): MysqlHost {
  const [, inner = '', name = '', port] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::(\d+))?$/i.exec(text) ?? []
  const host = inner || name
  const number = port === undefined ? DEFAULT_PORT : Number(port)
  const isName = inner ? isIP(inner) === 6 : /^[\w.-]+$/.test(name)
  if (!isName || number < 1 || number > 65_535) throw new ConfigError(FORM)
  return { host, port: number }
}

function sslOf(query: string): Pick<MysqlAddress, 'sslMode' | 'sslCa'> {
  let sslMode: SslMode | undefined
  let sslCa: string | undefined
  for (const [name, value] of new URLSearchParams(query)) {
    if (MODE_NAMES.has(name.toLowerCase()) && sslMode === undefined) sslMode = sslModeOf(value)
    else if (name.toLowerCase() === 'ssl-ca' && sslCa === undefined) sslCa = certificates(value)
    else throw new ConfigError('DATABASE_URL: after the ? it knows ssl-mode and ssl-ca, each once')
  }
  if (sslCa !== undefined && !(sslMode ?? 'VERIFY_IDENTITY').startsWith('VERIFY'))
    throw new ConfigError('DATABASE_URL: ssl-ca needs ssl-mode VERIFY_CA or VERIFY_IDENTITY')
  return { sslMode: sslMode ?? (sslCa === undefined ? 'DISABLED' : 'VERIFY_IDENTITY'), sslCa }
}

function certificates(file: string): string {
  try {
    const text = readFileSync(file, 'utf8')
    if (text.includes('-----BEGIN CERTIFICATE-----')) return text
  } catch (error) {
    throw new ConfigError(
      `DATABASE_URL: the file of ssl-ca cannot be read (${(error as NodeJS.ErrnoException).code})`,
    )
  }
  throw new ConfigError('DATABASE_URL: the file of ssl-ca holds no PEM certificate')
}

/** In any case, with dashes or underscores; a bare yes asks for everything that can be checked. */
function sslModeOf(text: string): SslMode {
  const name = text.toUpperCase().replaceAll('-', '_')
  if (name === 'TRUE' || name === '1') return 'VERIFY_IDENTITY'
  if (name === 'FALSE' || name === '0') return 'DISABLED'
  const mode = SSL_MODES.find((known) => known === name)
  if (!mode) throw new ConfigError(`DATABASE_URL: ssl-mode must be one of ${SSL_MODES.join(', ')}`)
  return mode
}
