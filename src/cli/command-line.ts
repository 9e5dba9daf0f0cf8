/**
 * The words of a call, read.
 */
import type { ParseArgsConfig } from 'node:util'

/** A mistake in the words of the call. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Every command, with the words that may follow it. */
export const COMMAND_WORDS = {
  serve: [],
  login: [],
  status: [],
  token: [],
  logout: [],
  import: [],
  keys: ['list', 'create', 'revoke'],
  configs: ['list'],
  doctor: [],
  'encryption-key': ['generate', 'rotate'],
  migrate: [],
  completion: ['bash', 'zsh', 'fish'],
} as const satisfies Record<string, readonly string[]>

export type CommandName = keyof typeof COMMAND_WORDS

export const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  json: { type: 'boolean' },
  name: { type: 'string' },
  provider: { type: 'string' },
  model: { type: 'string', multiple: true },
  config: { type: 'string', multiple: true },
} as const satisfies ParseArgsConfig['options']

export interface CommandLine {
  readonly words: readonly string[]
  readonly options: {
    readonly name?: string | undefined
    readonly provider?: string | undefined
    readonly model?: string[] | undefined
    readonly config?: string[] | undefined
    readonly json?: boolean | undefined
  }
}
