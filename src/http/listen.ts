/**
 * Where a server listens, and how it stops.
 */
import cluster from 'node:cluster'
import { type AddressInfo, createServer, type ListenOptions, type Server, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { ConfigError } from '../base/environment.ts'
import type { Config } from '../settings/config.ts'
import type { Readiness } from './readiness.ts'

/** A server with its routes. */
export interface App extends Omit<Readiness, 'problem'> {
  readonly fastify: FastifyInstance
  /** Ends what goes on by itself: every open connection, WebSockets with a word. */
  cut(): void
}

/** Of what an address is refused for, what to do. */
const HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE:
    'another program listens there, perhaps a broker that runs already; stop it (ss -ltnp on Linux, or lsof -i, names it), or set PORT to another',
  EACCES: 'ports below 1024 are for the administrator; set PORT to a higher one',
  EADDRNOTAVAIL:
    'this machine has no such address; set HOST to one of its own, or to 0.0.0.0 for all of them',
  ENOTFOUND: 'nobody knows the name; set HOST to an address of this machine',
}

/**
 * Connections that may wait to be taken on, as many as Linux allows by default. Node's own 511 are few where thousands of
 * clients come at once, or a busy machine holds the process up: the kernel lets what is beyond wait for seconds.
 */
const BACKLOG = 4_096

/**
 * Node takes on one connection of a listening socket in each round of its loop, and while there is much to do a round
 * takes tens of milliseconds: the last of two thousand clients that come at once would wait for most of a minute before
 * anything counts how long it waits. So there are several such sockets, among which Linux divides what comes.
 */
const LISTENERS = 16

/** @throws ConfigError if the address cannot be had */
export async function listen({ fastify }: App, { host, port }: Config): Promise<void> {
  // Elsewhere, or for a name of several addresses, they would not share what comes; workers have theirs from the primary.
  const canShare = process.platform === 'linux' && host !== 'localhost' && !cluster.isWorker
  try {
    if (canShare) await listenOnSeveral(fastify, host, port)
    else await fastify.listen({ host, port, backlog: BACKLOG })
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    const hint = code in HINTS ? `: ${HINTS[code]}` : ''
    throw new ConfigError(`HOST and PORT: cannot listen on ${host}:${port} (${code})${hint}`)
  }
}

async function listenOnSeveral(fastify: FastifyInstance, host: string, port: number): Promise<void> {
  // A port that is shared would be shared with another program, too.
  const probe = createServer()
  await listenOn(probe, { host, port })
  await closed(probe)
  const take = (socket: Socket) => fastify.server.emit('connection', socket)
  const others = Array.from({ length: LISTENERS - 1 }, () =>
    createServer({ allowHalfOpen: true, noDelay: true }, take),
  )
  let areClosed: Promise<unknown> | undefined
  fastify.addHook('preClose', async () => {
    areClosed = Promise.all(others.map(closed))
  })
  fastify.addHook('onClose', async () => areClosed)
  const address = { host, backlog: BACKLOG, reusePort: true }
  await fastify.listen({ ...address, port })
  const { port: taken } = fastify.server.address() as AddressInfo
  await Promise.all(others.map((other) => listenOn(other, { ...address, port: taken })))
}

function listenOn(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(options, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** Resolves once its last connection has ended. */
function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}

/** Lets running calls finish for `graceMs`, then cuts them. */
export async function closeHttp(app: App, graceMs: number): Promise<void> {
  app.drain()
  const cut = setTimeout(() => app.cut(), graceMs)
  await app.fastify.close()
  clearTimeout(cut)
}

/** Wildcard addresses are no place to send a browser to. */
export function addressOf(app: Pick<App, 'fastify'>): string {
  const { address, port, family } = app.fastify.server.address() as AddressInfo
  if (address === '0.0.0.0' || address === '::') return `http://127.0.0.1:${port}`
  return family === 'IPv6' ? `http://[${address}]:${port}` : `http://${address}:${port}`
}
