/**
 * A secret that a command needs: from the environment, from standard input, or typed unseen. Never from the words of
 * the call, which every process of the machine can read and shells write down.
 */
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { ConfigError, secretOf } from '../base/environment.ts'
import { type Said, terminalLanguage } from '../base/language.ts'
import { visible } from '../base/visible.ts'
import { InputError } from './command-line.ts'

/** Of whatever is handed in, no more than this is looked at. */
const MAX_CHARACTERS = 1_000_000

/**
 * @param what it is, for the prompt and for errors
 * @param from `env:NAME`; left out: standard input
 * @throws InputError
 */
export async function readSecret(what: Said, from?: string): Promise<string> {
  if (from !== undefined) return ofEnvironment(what, from)
  const text = process.stdin.isTTY ? await typed(what) : await piped()
  const secret = text.replace(/^\ufeff/, '').trim()
  if (secret === '')
    throw new InputError(
      `${what.english} is read from standard input, and nothing came`,
      `${what.chinese}从标准输入读取，但没有收到内容`,
    )
  return secret
}

function ofEnvironment(what: Said, from: string): string {
  if (!from.startsWith('env:')) {
    throw new InputError(
      `${what.english} must not stand in the command, where others can read it: pipe it in, or name a variable, e.g. env:API_KEY`,
      `${what.chinese}不能写在命令行中（其他人可以看到）：请通过管道输入，或指定变量，例如 env:API_KEY`,
    )
  }
  const name = from.slice('env:'.length)
  try {
    const secret = secretOf(process.env, name)
    if (secret) return secret.reveal().trim()
  } catch (error) {
    throw error instanceof ConfigError ? new InputError(error.message) : error
  }
  throw new InputError(
    `${name}, which is to hold ${what.english}, is not set`,
    `${name}（用于保存${what.chinese}）未设置`,
  )
}

async function piped(): Promise<string> {
  let text = ''
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    text += chunk
    if (text.length > MAX_CHARACTERS)
      throw new InputError('that is too much for a secret', '内容过长，不像是密钥')
  }
  return text
}

/** What is typed is not shown. */
async function typed(what: Said): Promise<string> {
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: unseen, terminal: true })
  const prompt =
    terminalLanguage(process.env) === 'zh'
      ? `请粘贴${what.chinese}（不会显示），然后按回车：`
      : `Paste ${what.english} (it is not shown), then press Enter: `
  process.stderr.write(visible(prompt))
  try {
    return await terminal.question('')
  } finally {
    terminal.close()
    process.stderr.write('\n')
  }
}
