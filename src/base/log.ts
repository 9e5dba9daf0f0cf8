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

export interface LogDestination {
  write(line: string): void
}

export function createLog(level: LogLevel, destination?: LogDestination): PinoLogger {
  const options: LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }), log: onlyAllowed },
  }
  if (destination) return pino(options, destination)
  if (process.stdout.isTTY) return pino({ ...options, transport: { target: 'pino-pretty' } })
  return pino(options)
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
