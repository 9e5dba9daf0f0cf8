/**
 * The words of a call, read.
 */
import type { ParseArgsConfig } from 'node:util'
import type { Language } from '../base/language.ts'

/** A mistake in the words of the call: told with the usage. */
export class UsageError extends Error {
  override readonly name: string = 'UsageError'
  readonly #chinese: string

  /** @param chinese where it is no text of ours, as it is */
  constructor(english: string, chinese = english) {
    super(english)
    this.#chinese = chinese
  }

  in(language: Language): string {
    return language === 'zh' ? this.#chinese : this.message
  }
}

/** The words are right, and what they name, or what was read, is not: told in one line, without the usage. */
export class InputError extends UsageError {
  override readonly name = 'InputError'
}

/** Every command, with the words that may follow it. */
export const COMMAND_WORDS = {
  serve: [],
  login: [],
  status: [],
  token: [],
  logout: [],
  import: [],
  keys: ['list', 'create', 'rotate', 'revoke'],
  configs: ['list', 'create'],
  doctor: [],
  provider: ['check'],
  'encryption-key': ['generate', 'rotate', 'seal'],
  migrate: [],
  completion: ['bash', 'zsh', 'fish'],
} as const satisfies Record<string, readonly string[]>

export type CommandName = keyof typeof COMMAND_WORDS

export const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  json: { type: 'boolean' },
  yes: { type: 'boolean' },
  name: { type: 'string' },
  provider: { type: 'string' },
  model: { type: 'string', multiple: true },
  config: { type: 'string', multiple: true },
  'base-url': { type: 'string' },
  'api-key': { type: 'string' },
  input: { type: 'string', multiple: true },
  'input-file': { type: 'string', multiple: true },
  'encryption-key': { type: 'string' },
  'may-read-tokens': { type: 'boolean' },
  'overlap-seconds': { type: 'string' },
} as const satisfies ParseArgsConfig['options']

export interface CommandLine {
  readonly words: readonly string[]
  readonly options: {
    readonly name?: string | undefined
    readonly provider?: string | undefined
    readonly model?: string[] | undefined
    readonly config?: string[] | undefined
    readonly 'base-url'?: string | undefined
    readonly 'api-key'?: string | undefined
    readonly input?: string[] | undefined
    readonly 'input-file'?: string[] | undefined
    readonly 'encryption-key'?: string | undefined
    readonly 'may-read-tokens'?: boolean | undefined
    readonly 'overlap-seconds'?: string | undefined
    readonly json?: boolean | undefined
    readonly yes?: boolean | undefined
  }
}
