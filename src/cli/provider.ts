/**
 * `provider check FILE`: whether a provider file is right, and what it would send, without any call.
 */
import { type Language, terminalLanguage } from '../base/language.ts'
import { visible } from '../base/visible.ts'
import type { Provider } from '../provider/provider.ts'
import { readProviderFile } from '../settings/config.ts'
import { type CommandLine, InputError, UsageError } from './command-line.ts'
import { givenInputs } from './given-inputs.ts'
import { answer, paint, shown } from './output.ts'
import { checkProvider } from './provider-check/check.ts'
import type { Call, Rehearsal } from './provider-check/rehearsal.ts'

export async function provider(line: CommandLine): Promise<void> {
  const [action, file, ...others] = line.words
  if (action !== 'check') throw new UsageError('provider takes check', 'provider 后面应为 check')
  if (!file || others.length > 0)
    throw new UsageError('provider check needs one file', 'provider check 需要一个文件')
  for (const one of readProviderFile(file, process.env)) {
    const rehearsal = await check(one, line)
    if (rehearsal.trouble !== undefined) process.exitCode = 1
    answer(line, factsOf(one, rehearsal), wordsOf(one, rehearsal))
  }
}

/** @throws InputError for an input that cannot be done without, or is none */
async function check(file: Provider, line: CommandLine): Promise<Rehearsal> {
  const { lacking, ...rehearsal } = await checkProvider(file, await givenInputs(file, line), Date.now)
  const [lack] = lacking
  if (!lack) return rehearsal
  const { english, chinese } = lack.why
  throw new InputError(
    `${file.name}: input ${lack.input} ${english}; say it with --input ${lack.input}=…`,
    `${file.name}：参数 ${lack.input} ${chinese}；请用 --input ${lack.input}=… 指定`,
  )
}

function factsOf({ name, file, kind }: Provider, { calls, trouble }: Rehearsal): object {
  return { provider: name, file, credential: kind, calls, trouble: trouble ?? null }
}

function wordsOf(
  { name, file, kind, missingLines, upstream }: Provider,
  { calls, trouble }: Rehearsal,
): string {
  const sign = trouble === undefined ? paint('good', '✓') : paint('bad', '✗')
  const say = WORDS[terminalLanguage(process.env)]
  const notes = [
    ...(missingLines === undefined ? [] : [`\n${say.template}\n${visible(missingLines)}`]),
    ...calls.map(textOf),
    ...(upstream.baseUrl === undefined ? [`\n→ ${say.nowhere}\n`] : []),
    ...(trouble === undefined ? [] : [`\n→ ${shown(trouble)}\n`]),
  ]
  return `${sign} ${shown(file)}: ${shown(name)}, ${kind}\n${notes.join('')}`
}

const WORDS = {
  en: {
    template: 'a template: CONFIG_FILE is to say',
    nowhere: 'upstream.base_url is not set: calls go where an account says, or nowhere',
  },
  zh: {
    template: '这是模板：请在 CONFIG_FILE 中写明',
    nowhere: '未设置 upstream.base_url：调用发往账号所指的地址，或不发送',
  },
} as const satisfies Record<Language, object>

function textOf({ for: purpose, method, url, headers, body }: Call): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  const text = [`${method} ${url}`, ...lines, ...(body === '' ? [] : ['', body])].map(shown).join('\n')
  return `\n${paint('loud', `# ${purpose}`)}\n${text}\n`
}
