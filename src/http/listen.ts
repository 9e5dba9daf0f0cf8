/**
 * Where a server listens, and how it stops.
 */
import type { AddressInfo } from 'node:net'
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

/** @throws ConfigError if the address cannot be had */
export async function listen(app: App, { host, port }: Config): Promise<void> {
  try {
    await app.fastify.listen({ host, port, backlog: BACKLOG })
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    const hint = code in HINTS ? `: ${HINTS[code]}` : ''
    throw new ConfigError(`HOST and PORT: cannot listen on ${host}:${port} (${code})${hint}`)
  }
}

/** Lets running calls finish for `graceMs`, then cuts them. */
export async function closeHttp(app: App, graceMs: number): Promise<void> {
  app.drain()
  const cut = setTimeout(() => app.cut(), graceMs)
  await app.fastify.close()
  clearTimeout(cut)
}

/** Wildcard addresses are no place to send a browser to. */
export function addressOf(app: App): string {
  const { address, port, family } = app.fastify.server.address() as AddressInfo
  if (address === '0.0.0.0' || address === '::') return `http://127.0.0.1:${port}`
  return family === 'IPv6' ? `http://[${address}]:${port}` : `http://${address}:${port}`
}
