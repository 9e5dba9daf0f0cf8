/**
 * JSON lines, pretty on a terminal. An allow-list: a line holds only the fields named here, so that a header,
 * a body or an error object with secrets in it cannot slip in (design.md §6).
 */
import { type LoggerOptions, type Logger as PinoLogger, pino } from 'pino'
import type { LogLevel } from './settings.ts'

export type Logger = Pick<PinoLogger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'>

/** Field names that may appear in a line; everything else is dropped. */
const ALLOWED = new Set([
  'requestId',
  'method',
  'route',
  'status',
  'ms',
  'ip',
  'provider',
  'configId',
  'keyId',
  'sessionId',
  'model',
  'attempt',
  'outcome',
  'why',
  'code',
  'detail',
  'setting',
  'address',
  'migrations',
  'version',
  'count',
  'signal',
  'token',
])

/** Lines wait for one another: a system call a line costs a tenth of a call through the gateway. */
const BUFFERED = { minLength: 4_096, periodicFlush: 500, sync: false }

export interface LogDestination {
  write(line: string): void
}

export function createLog(level: LogLevel, destination?: LogDestination): PinoLogger {
  const options: LoggerOptions = {
    level,
    base: null,
    timestamp: isoTime,
    formatters: { level: (label) => ({ level: label }), log: onlyAllowed },
  }
  if (destination) return pino(options, destination)
  if (process.stdout.isTTY) return pino({ ...options, transport: { target: 'pino-pretty' } })
  return pino(options, pino.destination(BUFFERED))
}

let lastMs = 0
let lastTime = ''

/** As `pino.stdTimeFunctions.isoTime`, but a busy millisecond is written out once. */
function isoTime(): string {
  const now = Date.now()
  if (now !== lastMs) {
    lastMs = now
    lastTime = `,"time":"${new Date(now).toISOString()}"`
  }
  return lastTime
}

function onlyAllowed(fields: Record<string, unknown>): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const name in fields) {
    const value = fields[name]
    if (name === 'err' && value instanceof Error) Object.assign(kept, describeError(value))
    else if (ALLOWED.has(name) && isPlain(value)) kept[name] = value
  }
  return kept
}

/** Objects may hold anything, and so may those in a list. */
function isPlain(value: unknown): boolean {
  return Array.isArray(value) ? value.every((inner) => typeof inner !== 'object') : typeof value !== 'object'
}

/** Of an error: its class, code, `detail` and where it was thrown, not its message, which may quote input. */
function describeError(error: Error): Record<string, unknown> {
  const { code, detail } = error as { code?: unknown; detail?: unknown }
  const where = error.stack?.split('\n').find((line) => line.trimStart().startsWith('at '))
  return {
    error: error.name,
    ...(isPlain(code) && { code }),
    ...(isPlain(detail) && { detail }),
    where: where?.trim(),
  }
}
