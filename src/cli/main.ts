#!/usr/bin/env node
/**
 * `token-broker COMMAND`: reads the words, calls the command, turns errors into one line and an exit code.
 */
import { enableCompileCache } from 'node:module'
import { parseArgs } from 'node:util'
import { apiErrorBody, BrokerError } from '../base/errors.ts'
import { ConfigError } from '../base/settings.ts'
import { type CommandLine, type CommandName, OPTIONS, UsageError } from './command-line.ts'

/** Exit codes scripts can rely on. */
const EXIT = { failed: 1, usage: 2, loginNeeded: 3, unavailable: 4 } as const

const USAGE = `token-broker COMMAND

  serve                        start the broker
  login [PROVIDER]             device flow on this terminal (default qwen)
  status [PROVIDER]            who is logged in, and for how long
  token [PROVIDER]             print a valid access token, refreshing if due
  logout [PROVIDER]            forget the login
  import FILE --name NAME      a credentials file into a model config
         [--provider qwen] [--model ID …]
  keys [list] | create NAME [--config NAME …] [--model ID …] | revoke ID
  configs [list]
  doctor [CONFIG]              what is wrong with a config, and what to do
  encryption-key generate | rotate
  migrate                      bring the database up to date
  completion bash | zsh | fish what the shell offers at the tabulator key

Every command takes --json. Exit codes: 1 it failed, 2 wrong words, 3 a login is needed, 4 not available now.
login, status, token and logout need no server; they use ~/.one_dragon_alpha/PROVIDER_oauth_creds.json.
`

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
  configs: async () => (await import('./keys.ts')).configs,
  doctor: async () => (await import('./doctor.ts')).doctor,
  'encryption-key': async () => (await import('./encryption-key.ts')).encryptionKey,
  migrate: async () => (await import('./encryption-key.ts')).migrateNow,
  completion: async () => (await import('./completion.ts')).completion,
}

async function main(args: string[]): Promise<void> {
  const { positionals, values } = parse(args)
  const [name, ...words] = positionals
  if (values.help || name === undefined || name === 'help') {
    process.stdout.write(USAGE)
    return
  }
  if (!isCommand(name)) throw new UsageError(`there is no command ${name}`)
  await (await COMMANDS[name]())({ words, options: values })
}

function isCommand(name: string): name is CommandName {
  return Object.hasOwn(COMMANDS, name)
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, allowPositionals: true, options: OPTIONS })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

/** With `--json` the one line is an object, as the API has it. */
function report(error: unknown, isJson: boolean): number {
  if (isJson) {
    const { message } = error as Error
    const body = error instanceof BrokerError ? apiErrorBody(error) : { code: 'failed', message }
    process.stderr.write(`${JSON.stringify({ error: body })}\n`)
    return exitCodeOf(error)
  }
  const line = error instanceof BrokerError ? `${error.english} · ${error.chinese}` : (error as Error).message
  process.stderr.write(`token-broker: ${line}\n`)
  if (error instanceof UsageError) process.stderr.write(`\n${USAGE}`)
  else if (!(error instanceof BrokerError || error instanceof ConfigError))
    process.stderr.write(`${(error as Error).stack}\n`)
  return exitCodeOf(error)
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
