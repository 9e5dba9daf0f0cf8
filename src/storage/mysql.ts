/**
 * MySQL and MariaDB, by mysql2: where they are, and what a session with them is like.
 */
import { connect, type Socket } from 'node:net'
import { Kysely, MysqlDialect, type MysqlPool, sql } from 'kysely'
import type { PoolOptions } from 'mysql2'
import { type MysqlAddress, type MysqlHost, parseDatabaseUrl } from '../base/database-url.ts'
import type { Secret } from '../base/secret.ts'
import type { Engine } from './engine.ts'
import { FirstReady } from './first-ready.ts'
import { SessionPool } from './session-pool.ts'
import type { Tables } from './tables.ts'

const CONNECT_TIMEOUT_MS = 3_000
/**
 * A process that is stopped or cut off within a transaction holds the locks of its rows: the server ends a
 * connection that is silent for so long, well before a lease is over.
 */
const SILENCE_SECONDS = 15
interface Patience {
  /** One statement may take this long; then its connection is given up, for a half-dead one would block others. */
  readonly statementSeconds: number
  /** Less: nothing may be written for somebody who has stopped waiting for it. */
  readonly lockWaitSeconds: number
}
const USUAL: Patience = { statementSeconds: 5, lockWaitSeconds: 3 }
/** For changes of large tables, and for other replicas' changes to end. */
const FOR_TABLES: Patience = { statementSeconds: 600, lockWaitSeconds: 60 }
/** The pool gives a connection up well before the server would, lest one be taken just as the server hangs up. */
const IDLE_TIMEOUT_MS = 5_000
const CONNECTIONS = 10

/**
 * A server's defaults are its operator's: without strict mode a long token would be cut off in silence, and under
 * NO_BACKSLASH_ESCAPES escaped text could end its own quotes.
 */
function sessionFor({ lockWaitSeconds }: Patience): string {
  return [
    'set names utf8mb4 collate utf8mb4_bin',
    "session sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'",
    `session wait_timeout = ${SILENCE_SECONDS}`,
    `session innodb_lock_wait_timeout = ${lockWaitSeconds}`,
    `session lock_wait_timeout = ${lockWaitSeconds}`,
  ].join(', ')
}

export function openMysql(url: Secret): Engine {
  const sockets = new Set<Socket>()
  const connectWith = (patience: Patience) =>
    // Made when first asked: a pool watches its idle connections until it is ended, which Kysely leaves out unless used.
    new Kysely<Tables>({ dialect: new MysqlDialect({ pool: () => openPool(url, sockets, patience) }) })
  return {
    kind: 'mysql',
    kysely: connectWith(USUAL),
    hasOtherServers: (parseDatabaseUrl(url.reveal())?.hosts.length ?? 0) > 1,
    async changeTables(work) {
      const patient = connectWith(FOR_TABLES)
      return work(patient).finally(() => patient.destroy().catch(() => {}))
    },
    // From UTC to UTC: `unix_timestamp(now())` is an hour off while the server's clock runs an hour twice in autumn.
    nowMs: sql<number>`(timestampdiff(microsecond, '1970-01-01', utc_timestamp(3)) div 1000)`,
    async claimWritable(db) {
      // Refused where a write would be, with regard to what this user may, and without one: nothing is logged.
      await db.connection().execute(async (one) => {
        await sql`start transaction read write`.execute(one)
        await sql`rollback`.execute(one)
      })
    },
    abandon() {
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** Its driver is large, and SQLite does without it. */
async function openPool(url: Secret, sockets: Set<Socket>, patience: Patience): Promise<MysqlPool> {
  const { createPool, raw } = await import('mysql2')
  const address = parseDatabaseUrl(url.reveal())
  if (!address) throw new Error('not the address of a MySQL server')
  const changesTables = patience === FOR_TABLES
  const hosts = changesTables ? inOneOrder(address.hosts) : address.hosts
  const pools = hosts.map((host) => {
    const options = poolOptions(address, host, sockets)
    return new SessionPool(createPool(options), raw, {
      session: sessionFor(patience),
      statementMs: 1_000 * patience.statementSeconds,
      changesTables,
      mustTakeWrites: hosts.length > 1,
    })
  })
  return new FirstReady(pools)
}

/**
 * In which all replicas go that name the same hosts: tables are changed by one at a time, and the lock that sees to it
 * is known to one server of a cluster alone.
 */
function inOneOrder(hosts: readonly MysqlHost[]): readonly MysqlHost[] {
  return hosts.toSorted((a, b) => a.host.localeCompare(b.host) || a.port - b.port)
}

function poolOptions(address: MysqlAddress, host: MysqlHost, sockets: Set<Socket>): PoolOptions {
  const { user, password, database } = address
  return {
    ...host,
    user,
    password,
    database,
    charset: 'utf8mb4_bin',
    connectionLimit: CONNECTIONS,
    maxIdle: CONNECTIONS - 1, // at the limit itself the pool never looks at its idle connections
    idleTimeout: IDLE_TIMEOUT_MS,
    gracefulEnd: true, // else the server counts them, and writes them to its log, as aborted
    connectTimeout: CONNECT_TIMEOUT_MS,
    stream: () => openSocket(host, sockets),
    ...tlsOf(address),
  }
}

function openSocket({ host, port }: MysqlHost, sockets: Set<Socket>): Socket {
  const socket = connect({ host, port, noDelay: true, keepAlive: true })
  // Node checks a certificate for this name where TLS is begun on an open socket. It sets it for names only, and
  // checks an address as if it were `localhost`.
  Object.assign(socket, { _host: host })
  sockets.add(socket)
  socket.once('close', () => sockets.delete(socket))
  return socket
}

/** A server without TLS is refused, unless none was asked for: nothing falls back to plain text. */
function tlsOf({ sslMode, sslCa }: MysqlAddress): PoolOptions {
  if (sslMode === 'DISABLED') return {}
  return {
    ssl: {
      rejectUnauthorized: sslMode !== 'REQUIRED',
      verifyIdentity: sslMode === 'VERIFY_IDENTITY',
      ...(sslCa !== undefined && { ca: sslCa }),
    },
  }
}
