#!/usr/bin/env node
import { enableCompileCache } from 'node:module'
import { parseArgs } from 'node:util'
import { ConfigError } from '../base/environment.ts'
import { apiErrorBody, BrokerError } from '../base/errors.ts'
/**
 * `token-broker COMMAND`: reads the words, calls the command, turns errors into one line and an exit code.
 */
import { type Language, terminalLanguage } from '../base/language.ts'
import { visible } from '../base/visible.ts'
import { type CommandLine, type CommandName, InputError, OPTIONS, UsageError } from './command-line.ts'
import { jsonLine } from './output.ts'
import { USAGE } from './usage.ts'

/** Exit codes scripts can rely on. */
const EXIT = { failed: 1, usage: 2, loginNeeded: 3, unavailable: 4 } as const

type Command = (line: CommandLine) => Promise<void>

/** Loaded only when called, so that `token` does not wait for the server's modules. */
const COMMANDS: Readonly<Record<CommandName, () => Promise<Command>>> = {
  serve: async () => {
    const { serve } = await import('../server.ts')
    return () => serve(process.env)
  },
  login: async () => (await import('./login.ts')).login,
  status: async () => (await import('./token-file.ts')).status,
  token: async () => (await import('./token-file.ts')).token,
  logout: async () => (await import('./token-file.ts')).logout,
  import: async () => (await import('./import.ts')).importFile,
  keys: async () => (await import('./keys.ts')).keys,
  configs: async () => (await import('./configs.ts')).configs,
  doctor: async () => (await import('./doctor.ts')).doctor,
  provider: async () => (await import('./provider.ts')).provider,
  'encryption-key': async () => (await import('./encryption-key.ts')).encryptionKey,
  migrate: async () => (await import('./encryption-key.ts')).migrateNow,
  completion: async () => (await import('./completion.ts')).completion,
}

async function main(args: string[]): Promise<void> {
  const { positionals, values } = parse(args)
  const [name, ...words] = positionals
  if (values.help || name === undefined || name === 'help') {
    process.stdout.write(USAGE[terminalLanguage(process.env)])
    return
  }
  if (!isCommand(name)) throw new UsageError(`there is no command ${name}`, `没有 ${name} 这个命令`)
  await (await COMMANDS[name]())({ words, options: values })
}

function isCommand(name: string): name is CommandName {
  return Object.hasOwn(COMMANDS, name)
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, allowPositionals: true, options: OPTIONS })
  } catch (error) {
    const { message } = error as Error // Node's, in English
    throw new UsageError(message, `无法识别命令行：${message}`)
  }
}

/** With `--json` the one line is an object, as the API has it. */
function report(error: unknown, isJson: boolean): number {
  const language = terminalLanguage(process.env)
  if (isJson) {
    const message = told(error, language)
    const body = error instanceof BrokerError ? apiErrorBody(error, language) : { code: 'failed', message }
    process.stderr.write(jsonLine({ error: body }))
    return exitCodeOf(error)
  }
  process.stderr.write(`token-broker: ${visible(told(error, language))}\n`)
  if (error instanceof InputError) return EXIT.usage
  if (error instanceof UsageError) process.stderr.write(`\n${USAGE[language]}`)
  else if (!(error instanceof BrokerError || error instanceof ConfigError))
    process.stderr.write(`${visible((error as Error).stack ?? '')}\n`)
  return exitCodeOf(error)
}

function told(error: unknown, language: Language): string {
  const isTold = error instanceof BrokerError || error instanceof UsageError
  return isTold ? error.in(language) : (error as Error).message
}

function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage
  if (!(error instanceof BrokerError)) return EXIT.failed
  if (error.code === 'credential_reauth_required') return EXIT.loginNeeded
  return error.status === 503 ? EXIT.unavailable : EXIT.failed
}

enableCompileCache() // before a command is loaded: from the second start on nothing is compiled again
const words = process.argv.slice(2)
main(words).catch((error: unknown) => process.exit(report(error, words.includes('--json'))))
