/**
 * What a driver's error means to whoever asked the database.
 *
 * Servers have thousands of error numbers and more with every version; which of them pass cannot be listed. So each is
 * storage that is not available just now, but for a unique index that refused a row. Errors of our own stay what they are.
 */
import { BrokerError } from '../base/errors.ts'

/** A unique index refused a row. */
export class DuplicateError extends Error {
  override readonly name = 'DuplicateError'
  /** The index, or what it is over: `model_configs_external_id`, `external_id`. */
  readonly of: string

  constructor(of: string) {
    super(`duplicate of ${of}`)
    this.of = of
  }
}

interface DriverError {
  readonly code?: string
  readonly errno?: number
  readonly sqlState?: string
  readonly sqlMessage?: string
  readonly fatal?: boolean
  readonly message?: string
}

const DUPLICATE = new Set(['ER_DUP_ENTRY', 'SQLITE_CONSTRAINT_UNIQUE', 'SQLITE_CONSTRAINT_PRIMARYKEY'])
/** Without a number: SQLite's codes, the network's, and what a pool says that is closed. */
const CODES = /^(SQLITE_|PROTOCOL_|HANDSHAKE_|E[A-Z]+$)/
const CLOSED = new Set(['Pool is closed.', 'driver has already been destroyed'])

/** Deadlock, row changed since the snapshot, and a commit that lost against another node: nothing was written. */
const CONFLICTS = new Set([1213, 1020])
/** A table, a column or an index that is there already, and one to be dropped that is not. */
const DONE_ALREADY = new Set([1050, 1060, 1061, 1091])
/**
 * It answers, but takes no writes: not ready in its cluster, read-only (the server, the transaction, the table), full.
 */
const READ_ONLY = new Set([1047, 1290, 1792, 1836, 1036, 1015, 1021, 1114])
const READ_ONLY_CODES = /^SQLITE_(READONLY|FULL|IOERR|CANTOPEN)/

export function translated(error: unknown): unknown {
  if (error instanceof BrokerError || !isOfDriver(error)) return error
  if (error.code !== undefined && DUPLICATE.has(error.code)) return new DuplicateError(indexIn(error.message))
  return new BrokerError('storage_unavailable', {
    cause: error,
    detail: describe(error),
    retryAfterSeconds: 2,
  })
}

/** A message ends with it: `… for key 'model_configs.PRIMARY'`, `UNIQUE constraint failed: model_configs.name`. */
function indexIn(message = ''): string {
  return /(?:'|\.)(\w+)'?$/.exec(message)?.[1] ?? 'a unique index'
}

/** Worth another try at once, for nothing was written. */
export function isConflict(error: unknown): boolean {
  return isOfDriver(error) && CONFLICTS.has(error.errno ?? 0)
}

/** What a change of a table is told that was made before. */
export function isDoneAlready(error: unknown): boolean {
  return isOfDriver(error) && DONE_ALREADY.has(error.errno ?? 0)
}

export function isMissingTable(error: unknown): boolean {
  return isOfDriver(error) && (error.errno === 1146 || /^no such table/.test(error.message ?? ''))
}

export function isReadOnly(error: unknown): boolean {
  return isOfDriver(error) && (READ_ONLY.has(error.errno ?? 0) || READ_ONLY_CODES.test(error.code ?? ''))
}

/**
 * What a server said that will say the same tomorrow: it refuses the login (SQLSTATE class 28), or what we ask of it
 * (class 42: no such database, not allowed), unless it has too many users just now.
 */
export function refusalOf(error: unknown): string | undefined {
  const { cause } = error as { cause?: unknown }
  if (!(error instanceof BrokerError) || !isOfDriver(cause)) return undefined
  const isRefusal = /^(28|42)/.test(cause.sqlState ?? '') && cause.code !== 'ER_USER_LIMIT_REACHED'
  if (!isRefusal || cause.code === 'ER_TOO_MANY_USER_CONNECTIONS') return undefined
  return cause.sqlMessage ?? cause.code
}

function isOfDriver(error: unknown): error is DriverError {
  if (!(error instanceof Error)) return false
  const { errno, sqlState, fatal, code, message } = error as DriverError
  if (sqlState !== undefined || fatal === true || CLOSED.has(message ?? '')) return true
  return code !== undefined && (CODES.test(code) || (code.startsWith('ER_') && errno !== undefined))
}

/** For the log, in words; never the message, which may quote a statement with its values. */
function describe({ code, errno, message }: DriverError): string {
  if (CLOSED.has(message ?? '')) return 'the pool is closed'
  if (code === undefined) return errno === undefined ? 'the connection was lost' : `unnamed error (${errno})`
  if (!/^(ER|PROTOCOL|SQLITE)_/.test(code)) return code
  const words = code
    .replace(/^(ER|PROTOCOL|SQLITE)_/, '')
    .replaceAll('_', ' ')
    .toLowerCase()
  return `${words} (${errno ?? code})`
}
