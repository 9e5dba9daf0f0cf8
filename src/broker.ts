/**
 * A broker in this process, from its Config to a listening server, and down again.
 */
import { buildApp } from './app.ts'
import { type Background, closeParts, readAhead, startBackground, startStorage } from './background.ts'
import type { Logger } from './base/log.ts'
import type { Secret } from './base/secret.ts'
import { addressOf, closeHttp, listen } from './http/listen.ts'
import { joinParts } from './parts.ts'
import type { Config } from './settings/config.ts'

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
    background = startBackground(parts, address)
  } catch (error) {
    await close(0)
    throw error
  }
  app.open()
  void readAhead(parts)
  return { address, drain: () => app.drain(), close }
}
