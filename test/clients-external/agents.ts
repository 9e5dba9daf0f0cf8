/**
 * Programs that speak to models: each does one streamed turn in which a tool is called, with the sandbox of a fresh start.
 */
import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { fetchBy, installPackages, makeHome, type Ran, runClient } from './installed.ts'
import { type Exchange, startRecorder } from './recorder.ts'

export interface Agent {
  readonly name: string
  /** @returns its version @throws NotToBeHad */
  install(home: string): Promise<string>
  /** For bash, in its home. */
  readonly script: string
}

const PAGE = readFileSync(new URL('../../docs/recipes/clients.md', import.meta.url), 'utf8')
const TURNS = fileURLToPath(new URL('turns/', import.meta.url))

export const AGENTS: readonly Agent[] = [
  ofThePage('Claude Code', '@anthropic-ai/claude-code'),
  ofThePage('Codex', '@openai/codex'),
  ofThePage('qwen-code', '@qwen-code/qwen-code'),
  ofThePage('opencode', 'opencode-ai'),
  ofNode('AI SDK', 'ai-sdk.mjs', ['ai', '@ai-sdk/openai-compatible']),
  ofNode('LangChain (chat)', 'langchain.mjs', ['@langchain/openai', '@langchain/core']),
  ofNode('LangChain (responses)', 'langchain.mjs responses', ['@langchain/openai', '@langchain/core']),
  { name: "Python's openai", install: installPython, script: 'python3 python-openai.py' },
]

/** Does what docs/recipes/clients.md says of it. */
function ofThePage(name: string, ...packages: string[]): Agent {
  const [section = ''] = PAGE.split('\n## ').filter((part) => part.startsWith(`${name}\n`))
  const script = /^```sh\n(.*?)^```$/ms.exec(section)?.[1]
  if (script === undefined) throw new Error(`docs/recipes/clients.md has no lines for ${name}`)
  return { name, script, install: (home) => installPackages(home, packages) }
}

function ofNode(name: string, script: string, packages: readonly string[]): Agent {
  return { name, script: `node ${script}`, install: (home) => installPackages(home, packages) }
}

/** From PyPI, else the machine's own. */
async function installPython(home: string): Promise<string> {
  await fetchBy(home, ['python3', '-m', 'venv', '--system-site-packages', 'python'])
  const python = join(home, 'python/bin/python')
  const fromPyPi = fetchBy(home, [python, '-m', 'pip', 'install', '--quiet', '--ignore-installed', 'openai'])
  const refusal = await fromPyPi.catch((error) => error)
  const { code, output } = await runClient(
    home,
    [python, '-c', 'import openai; print(openai.__version__)'],
    {},
  )
  if (code !== 0) throw refusal
  return output.trim()
}

/** @returns its version, and what was wrong with the turn @throws NotToBeHad */
export async function runAgent(
  t: Pick<Test, 'teardown'>,
  { install, script }: Agent,
  broker: { readonly origin: string; readonly key: string },
): Promise<{ version: string; differences: string[] }> {
  const home = makeHome(t)
  const version = await install(home)
  cpSync(TURNS, home, { recursive: true })
  const recorder = await startRecorder(t, () => broker)
  const model = 'sandbox-model'
  const words = ['set -eu', `broker=${recorder.origin} key=${broker.key} model=${model}`, script]
  const ran = await runClient(home, ['bash', '-c', words.join('\n')], {
    PATH: `${home}/python/bin:${home}/node_modules/.bin:${process.env['PATH']}`,
    OPENAI_BASE_URL: `${recorder.origin}/v1`,
    OPENAI_API_KEY: broker.key,
    OPENAI_MODEL: model,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
  })
  const calls = recorder.take()
  const mistake = mistakeIn(calls, ran)
  if (mistake === undefined) return { version, differences: [] }
  const told = calls.map(({ method, target, status }) => `${method} ${target}: ${status}`)
  return { version, differences: [[mistake, ...told, ran.output].join('\n')] }
}

/** A turn: offered a tool in a stream, the model calls it, is told what it answered, and says so. */
function mistakeIn(calls: readonly Exchange[], { code, output }: Ran): string | undefined {
  if (code !== 0) return `it ended with ${code}`
  const streamed = calls.filter(
    ({ status, body }) => status === 200 && /"stream": ?true/.test(body.toString()),
  )
  if (!streamed.some(({ body }) => /"tools": ?\[\{/.test(body.toString())))
    return 'no stream with a tool was asked for'
  if (!streamed.some(({ body }) => ANSWER_OF_TOOL.test(body.toString()))) return 'no tool was called'
  return FROM_SANDBOX.test(output) ? undefined : 'it did not say what the model said'
}

/** Of the agents some ask once more, when a task in the background has ended. */
const FROM_SANDBOX = /The tool answered|Hello from the sandbox/
const ANSWER_OF_TOOL = /"role": ?"tool"|"type": ?"(function_call_output|tool_result)"/
