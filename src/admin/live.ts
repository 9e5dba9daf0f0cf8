/**
 * `GET /api/live`: tells open consoles what changed, so that they need not ask. Never a token, never a row: a page
 * hears what moved and reads it the usual way.
 *
 * Configs and keys raise the change counter; refreshes, dead credentials and the like write audit events. Those are
 * looked for only while somebody listens.
 */
import { PassThrough } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { type Clock, SECOND } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Database } from '../storage/database.ts'
import type { Guard } from './guard.ts'

export interface LiveParts {
  readonly database: Database
  readonly changes: { onChange(listener: () => void): void; readonly clock: Clock }
  readonly log: Logger
  readonly guard: Guard
}

const LOOK_EVERY_MS = 2 * SECOND
const KEEP_ALIVE_MS = 15 * SECOND
/** An event carries the time its transaction began, which may be so much before it can be seen. */
const LATE_MS = 10 * SECOND
const MAX_EVENTS = 500

export async function liveRoutes(app: FastifyInstance, parts: LiveParts): Promise<void> {
  const { changes, guard } = parts
  const listeners = new Set<PassThrough>()
  const tell = (line: string) => {
    for (const stream of listeners) stream.write(line)
  }
  const watch = new AuditWatch(parts, (event) => tell(dataLine({ kind: 'credential', ...event })))
  const keepAlive = setInterval(() => tell(': keep-alive\n\n'), KEEP_ALIVE_MS).unref()
  changes.onChange(() => tell(dataLine({ kind: 'changed' })))
  app.addHook('preClose', async () => {
    clearInterval(keepAlive)
    watch.stop()
    for (const stream of listeners) stream.end()
  })

  app.get('/api/live', async (request, reply) => {
    const stream = new PassThrough()
    const session = guard.sessions.read(request.headers.cookie)
    const leftMs = session ? session.expiresAt - changes.clock() : undefined
    const expiry = leftMs === undefined ? undefined : setTimeout(() => stream.end(), leftMs).unref()
    listeners.add(stream)
    watch.start()
    reply.raw.once('close', () => {
      clearTimeout(expiry)
      listeners.delete(stream)
      if (listeners.size === 0) watch.stop()
    })
    stream.write(dataLine({ kind: 'hello' }))
    return reply
      .headers({ 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' })
      .send(stream)
  })
}

interface SeenEvent {
  readonly config_id: string
  readonly type: string
}

class AuditWatch {
  readonly #parts: LiveParts
  readonly #tell: (event: SeenEvent) => void
  #told = new Set<string>()
  #since = 0
  #timer: NodeJS.Timeout | undefined

  constructor(parts: LiveParts, tell: (event: SeenEvent) => void) {
    this.#parts = parts
    this.#tell = tell
  }

  start(): void {
    if (this.#timer) return
    this.#since = this.#now()
    this.#told.clear()
    this.#timer = setInterval(() => void this.#look(), LOOK_EVERY_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #look(): Promise<void> {
    try {
      const events = await this.#parts.database.run((db) =>
        db
          .selectFrom('audit_events')
          .select(['id', 'type', 'config_id'])
          .where('created_at', '>=', Math.max(this.#since, this.#now() - LATE_MS))
          .orderBy('created_at', 'desc')
          .limit(MAX_EVENTS)
          .execute(),
      )
      const told = this.#told
      this.#told = new Set(events.map(({ id }) => id))
      for (const { id, type, config_id } of events) if (!told.has(id)) this.#tell({ config_id, type })
    } catch (error) {
      this.#parts.log.warn({ err: error }, 'the console could not be told what changed')
    }
  }

  #now(): number {
    return Math.trunc(this.#parts.changes.clock())
  }
}

function dataLine(event: object): string {
  return `data: ${JSON.stringify(event)}\n\n`
}
