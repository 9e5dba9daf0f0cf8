/**
 * `GET /api/live`: tells open consoles what changed, so that they need not ask. Never a token, never a row: a page
 * hears what moved and reads it the usual way.
 *
 * A stream ends with its session, whether that expires or is signed out anywhere.
 *
 * Configs and keys raise the change counter; refreshes, dead credentials and the like write audit events. Those are
 * looked for only while somebody listens.
 */
import { PassThrough } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { textOf } from '../base/answers.ts'
import { type Clock, SECOND } from '../base/clock.ts'
import { every } from '../base/every.ts'
import type { Logger } from '../base/log.ts'
import { EVENT_STREAM_HEADERS, KEEP_ALIVE, serverSentEvent } from '../base/server-sent-events.ts'
import { eventsSince } from '../storage/audit-events.ts'
import type { Database } from '../storage/database.ts'
import type { ConsoleSession } from './console-session.ts'
import { type Guard, guarded } from './guard.ts'

export interface LiveParts {
  readonly database: Database
  readonly changes: { onChange(listener: () => void): void; readonly clock: Clock }
  readonly log: Logger
  readonly guard: Guard
}

const DESCRIPTION = {
  ...guarded('watch', 'console', 'Tells what changed, as it does'),
  response: {
    200: textOf(
      'text/event-stream',
      '`{"kind": "hello"}` at once, `{"kind": "changed"}` when an account or a key was changed, and ' +
        '`{"kind": "credential", "config_id": "…", "type": "…"}` when something happened to a credential.',
    ),
  },
}

const LOOK_EVERY_MS = 2 * SECOND
const KEEP_ALIVE_MS = 15 * SECOND
/** An event carries the time its transaction began, which may be so much before it can be seen. */
const LATE_MS = 10 * SECOND
const MAX_EVENTS = 500

export async function liveRoutes(app: FastifyInstance, parts: LiveParts): Promise<void> {
  const { changes, guard } = parts
  const listeners = new Map<PassThrough, ConsoleSession | undefined>()
  const tell = (line: string) => {
    for (const stream of listeners.keys()) stream.write(line)
  }
  const endSignedOut = async () => {
    const ended = await guard.endedAmong(
      [...listeners.values()].filter((consoleSession) => consoleSession !== undefined),
    )
    for (const [stream, consoleSession] of listeners)
      if (consoleSession && ended.has(consoleSession.id)) stream.end()
  }
  const tellEvent = (event: SeenEvent) => tell(serverSentEvent({ kind: 'credential', ...event }))
  const watch = new AuditWatch(parts, tellEvent, endSignedOut)
  const stopKeepAlive = every(KEEP_ALIVE_MS, () => tell(KEEP_ALIVE))
  changes.onChange(() => tell(serverSentEvent({ kind: 'changed' })))
  app.addHook('preClose', async () => {
    void stopKeepAlive()
    watch.stop()
    for (const stream of listeners.keys()) stream.end()
  })

  app.get('/api/live', { schema: DESCRIPTION }, async (request, reply) => {
    const stream = new PassThrough()
    const consoleSession = guard.sessionOf(request)
    const leftMs = consoleSession ? consoleSession.expiresAt - changes.clock() : undefined
    const expiry = leftMs === undefined ? undefined : setTimeout(() => stream.end(), leftMs).unref()
    listeners.set(stream, consoleSession)
    watch.start()
    reply.raw.once('close', () => {
      clearTimeout(expiry)
      listeners.delete(stream)
      if (listeners.size === 0) watch.stop()
    })
    stream.write(serverSentEvent({ kind: 'hello' }))
    return reply.headers(EVENT_STREAM_HEADERS).send(stream)
  })
}

interface SeenEvent {
  readonly config_id: string
  readonly type: string
}

class AuditWatch {
  readonly #parts: LiveParts
  readonly #tell: (event: SeenEvent) => void
  readonly #endSignedOut: () => Promise<void>
  #told = new Set<string>()
  #since = 0
  #stop: (() => void) | undefined

  constructor(parts: LiveParts, tell: (event: SeenEvent) => void, endSignedOut: () => Promise<void>) {
    this.#parts = parts
    this.#tell = tell
    this.#endSignedOut = endSignedOut
  }

  start(): void {
    if (this.#stop) return
    this.#since = this.#parts.changes.clock()
    this.#told.clear()
    this.#stop = every(LOOK_EVERY_MS, () => this.#look())
  }

  stop(): void {
    this.#stop?.()
    this.#stop = undefined
  }

  async #look(): Promise<void> {
    try {
      await this.#endSignedOut()
      const events = await eventsSince(
        this.#parts.database,
        Math.max(this.#since, this.#parts.changes.clock() - LATE_MS),
        MAX_EVENTS,
      )
      const told = this.#told
      this.#told = new Set(events.map(({ id }) => id))
      for (const { id, type, config_id } of events) if (!told.has(id)) this.#tell({ config_id, type })
    } catch (error) {
      this.#parts.log.warn({ err: error }, 'the console could not be told what changed')
    }
  }
}
