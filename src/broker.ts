/**
 * A broker in this process, from its Config to a listening server, and down again.
 */
import type { AddressInfo } from 'node:net'
import { type App, buildApp } from './app.ts'
import { type Background, closeParts, startBackground, startStorage } from './background.ts'
import type { Config } from './base/config.ts'
import type { Logger } from './base/log.ts'
import type { Secret } from './base/secret.ts'
import { ConfigError } from './base/settings.ts'
import { joinParts } from './parts.ts'

export interface Broker {
  /** Where it listens, e.g. http://127.0.0.1:8787 */
  readonly address: string
  /** Not ready any more, yet serving. */
  drain(): void
  /** No new connections; running calls, streams and refreshes finish, calls for `graceMs` at most. */
  close(graceMs: number): Promise<void>
}

/** Resolves once it is ready. @throws ConfigError if the address cannot be had */
export async function startBroker(config: Config, adminToken: Secret, log: Logger): Promise<Broker> {
  const parts = joinParts(config, log)
  const app = await buildApp(parts, adminToken, () => parts.metrics.registry.metrics())
  await listen(app, config)
  const address = addressOf(app)
  let background: Background | undefined
  const close = async (graceMs: number) => {
    await closeHttp(app, graceMs)
    background?.stop()
    await closeParts(parts)
  }
  try {
    await startStorage(parts)
    background = await startBackground(parts, address)
  } catch (error) {
    await close(0)
    throw error
  }
  app.open()
  return { address, drain: () => app.drain(), close }
}

export async function listen(app: App, { host, port }: Config): Promise<void> {
  try {
    await app.fastify.listen({ host, port })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigError(`HOST and PORT: cannot listen on ${host}:${port} (${code})`)
  }
}

/** Lets running calls finish for `graceMs`, then cuts them. */
export async function closeHttp(app: App, graceMs: number): Promise<void> {
  const cut = setTimeout(() => app.fastify.server.closeAllConnections(), graceMs)
  await app.fastify.close()
  clearTimeout(cut)
}

/** Wildcard addresses are no place to send a browser to. */
export function addressOf(app: App): string {
  const { address, port, family } = app.fastify.server.address() as AddressInfo
  if (address === '0.0.0.0' || address === '::') return `http://127.0.0.1:${port}`
  return family === 'IPv6' ? `http://[${address}]:${port}` : `http://${address}:${port}`
}
