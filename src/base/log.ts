/**
 * JSON lines, pretty on a terminal. An allow-list: a line holds only the fields named here, so that a header,
 * a body or an error object with secrets in it cannot slip in (docs/security.md).
 */
import { createRequire } from 'node:module'
import { type LoggerOptions, type Logger as PinoLogger, pino } from 'pino'
import type Pretty from 'pino-pretty'
import { LineWriter } from './line-writer.ts'
import { visible } from './visible.ts'

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export type Logger = Pick<
  PinoLogger,
  'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'isLevelEnabled'
>

/** Field names that may appear in a line; everything else is dropped. */
const ALLOWED = new Set([
  'requestId',
  'upstreamRequestId',
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
  'expiresAt',
])

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
  if (process.stdout.isTTY) return pino(options, prettyLines())
  const stdout = new LineWriter(process.stdout.fd)
  process.once('exit', () => stdout.flush())
  return pino(options, stdout)
}

/** For a person; loaded only where there is one. */
function prettyLines(): LogDestination {
  const pretty = createRequire(import.meta.url)('pino-pretty') as typeof Pretty
  return pretty({ sync: true }) // so that the last words are read, too
}

/** What is logged of a call through the gateway. */
export interface CallLine {
  readonly requestId: string
  /** What upstream calls it, where it does. */
  readonly upstreamRequestId: string | undefined
  readonly keyId: string
  readonly configId: string
  readonly model: string | undefined
  readonly status: number
  readonly attempt: number
  readonly ms: number
  readonly outcome: string | undefined
}

/** Writes the very line that pino would, at a third of its price: these are nearly all the lines there are. */
export function callLogger(log: Logger): (call: CallLine) => void {
  const destination = (log as unknown as Record<symbol, LogDestination>)[
    pino.symbols.streamSym
  ] as LogDestination
  return (call) => {
    if (!log.isLevelEnabled('info')) return
    const model = call.model === undefined ? '' : `,"model":${asJson(call.model)}`
    const theirs =
      call.upstreamRequestId === undefined ? '' : `,"upstreamRequestId":${asJson(call.upstreamRequestId)}`
    const outcome = call.outcome === undefined ? '' : `,"outcome":${asJson(call.outcome)}`
    destination.write(
      `{"level":"info"${isoTime()},"requestId":"${call.requestId}"${theirs},"keyId":"${call.keyId}","configId":"${call.configId}"${model},"status":${call.status},"attempt":${call.attempt},"ms":${call.ms}${outcome},"msg":"call"}\n`,
    )
  }
}

/** As most names of models are. */
const PLAIN = /^[\w.:/@-]*$/

function asJson(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(visible(text))
}

let second = Number.NaN
let untilItsDot = ''

/** As `pino.stdTimeFunctions.isoTime`, but a second is written out once. */
function isoTime(): string {
  const now = Date.now()
  const ms = now % 1_000
  if (now - ms !== second) {
    second = now - ms
    untilItsDot = `,"time":"${new Date(second).toISOString().slice(0, -'000Z'.length)}`
  }
  return `${untilItsDot}${String(ms).padStart(3, '0')}Z"`
}

function onlyAllowed(fields: Record<string, unknown>): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const name in fields) {
    const value = fields[name]
    if (name === 'err' && value instanceof Error) Object.assign(kept, describeError(value))
    else if (ALLOWED.has(name) && isPlain(value)) kept[name] = written(value)
  }
  return kept
}

function written(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(written)
  return typeof value === 'string' ? visible(value) : value
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
    ...(isPlain(code) && { code: written(code) }),
    ...(isPlain(detail) && { detail: written(detail) }),
    where: where?.trim(),
  }
}
