/**
 * What a call says for the inputs of a provider's file: `--input NAME=VALUE` and `--input-file NAME=PATH`. A secret one
 * never stands in the words of the call.
 */
import { readFileSync } from 'node:fs'
import type { Said } from '../base/language.ts'
import type { Given } from '../provider/given.ts'
import type { Input } from '../provider/inputs.ts'
import type { Provider } from '../provider/provider.ts'
import { type CommandLine, InputError } from './command-line.ts'
import { readSecret } from './secret-input.ts'

/** @throws InputError */
export async function givenInputs({ inputs }: Provider, { options }: CommandLine): Promise<Given> {
  const given = new Map<string, string>()
  for (const written of options.input ?? []) {
    const { input, value } = partsOf(written, 'input', inputs)
    const isElsewhere = input.isSecret || value.startsWith('env:')
    given.set(input.name, isElsewhere ? await readSecret(saidOf(input), value) : value)
  }
  for (const written of options['input-file'] ?? []) {
    const { input, value } = partsOf(written, 'input-file', inputs)
    given.set(input.name, contentOf(value, input))
  }
  return given
}

/**
 * The same, and from standard input what else cannot be done without: there only one can be piped in.
 * @throws InputError
 */
export async function allInputs(provider: Provider, line: CommandLine): Promise<Given> {
  const given = new Map(await givenInputs(provider, line))
  const missing = provider.inputs.filter(
    ({ name, isSecret, isRequired, default: byDefault }) =>
      isSecret && isRequired && byDefault === undefined && !given.has(name),
  )
  if (missing.length > 1 && !process.stdin.isTTY) {
    const names = missing.map(({ name }) => name).join(', ')
    throw new InputError(
      `${names} are needed, and only one of them can come from standard input: name variables or files, e.g. --input ${missing[0]?.name}=env:NAME`,
      `需要 ${names}，而标准输入只能提供其中一个：请指定变量或文件，例如 --input ${missing[0]?.name}=env:NAME`,
    )
  }
  for (const input of missing) given.set(input.name, await readSecret(saidOf(input)))
  return given
}

/** `NAME=VALUE`. @throws InputError */
function partsOf(
  written: string,
  option: 'input' | 'input-file',
  inputs: readonly Input[],
): { input: Input; value: string } {
  const [name = '', ...rest] = written.split('=')
  if (rest.length === 0)
    throw new InputError(
      `--${option} is written NAME=…, such as --${option} region=eu`,
      `--${option} 应写作 NAME=…`,
    )
  const input = inputs.find((one) => one.name === name)
  if (input) return { input, value: rest.join('=') }
  const known = inputs.map((one) => one.name).join(', ')
  throw new InputError(
    known === ''
      ? `there is no input ${name}: this provider asks for none`
      : `there is no input ${name}; there are ${known}`,
    known === '' ? `没有参数 ${name}：该提供方不需要参数` : `没有参数 ${name}；现有：${known}`,
  )
}

function contentOf(path: string, { name }: Input): string {
  try {
    return readFileSync(path, 'utf8')
      .replace(/^\ufeff/, '')
      .trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new InputError(
      `${path}, which is to hold ${name}, cannot be read (${code})`,
      `无法读取 ${path}（应包含 ${name}）：${code}`,
    )
  }
}

function saidOf({ name, label: { english, chinese } }: Input): Said {
  return { english: `${english} (input ${name})`, chinese: `${chinese}（参数 ${name}）` }
}
