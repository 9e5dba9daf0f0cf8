/**
 * `npm run test:clients`: programs that others wrote, as they come from the registry, against a broker with the
 * sandbox behind it. Fetched into a cache of this machine; not dependencies of the project.
 */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startProcess } from '../support/broker-process.ts'

const PACKAGES = ['ai', '@ai-sdk/openai-compatible', '@langchain/openai', '@qwen-code/qwen-code']
const CACHE = join(tmpdir(), 'token-broker-clients')
const TIMEOUT_MS = 60_000

/** Each prints what it got; the sandbox's answer quotes the question. */
const SCRIPTS: Readonly<Record<string, string>> = {
  'Vercel AI SDK': `
    import { generateText, streamText } from 'ai'
    import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
    const model = createOpenAICompatible({ name: 'broker', baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY })('sandbox-model')
    console.log((await generateText({ model, prompt: 'canary one' })).text)
    let text = ''
    for await (const part of streamText({ model, prompt: 'canary two' }).textStream) text += part
    console.log(text)`,
  LangChain: `
    import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai'
    const configuration = { baseURL: process.env.OPENAI_BASE_URL }
    const chat = new ChatOpenAI({ model: 'sandbox-model', configuration })
    console.log((await chat.invoke('canary one')).content)
    let text = ''
    for await (const chunk of await chat.stream('canary two')) text += chunk.content
    console.log(text)
    const vector = await new OpenAIEmbeddings({ model: 'sandbox-embedding', configuration }).embedQuery('x')
    if (!(vector.length > 0)) throw new Error('no embedding')`,
}

async function main(): Promise<number> {
  fetchPackages()
  const endings: (() => unknown)[] = []
  const broker = await startProcess({ teardown: (end) => void endings.push(end) })
  const env = {
    OPENAI_BASE_URL: `${broker.origin}/v1`,
    OPENAI_API_KEY: await broker.practiceKey(),
    OPENAI_MODEL: 'sandbox-model',
  }
  const results: [string, boolean][] = []
  try {
    for (const [name, script] of Object.entries(SCRIPTS)) {
      const file = join(CACHE, `${name.replaceAll(' ', '-')}.mjs`)
      writeFileSync(file, script)
      const output = await run(process.execPath, [file], env)
      results.push([name, /canary one/.test(output) && /canary two/.test(output)])
      if (!results.at(-1)?.[1]) process.stdout.write(output)
    }
    const args = [
      '--auth-type',
      'openai',
      '--prompt',
      'canary one',
      '--max-session-turns',
      '3',
      '-o',
      'stream-json',
    ]
    const output = await run(join(CACHE, 'node_modules/.bin/qwen'), args, { ...env, HOME: CACHE })
    // An agent: the sandbox answers its first question by calling one of the tools it offers.
    results.push(['qwen-code', /"tool_use"|from the sandbox/.test(output)])
    if (!results.at(-1)?.[1]) process.stdout.write(output)
  } finally {
    for (const end of endings) await end()
  }
  for (const [name, isGood] of results) process.stdout.write(`${isGood ? 'ok' : 'not ok'} - ${name}\n`)
  const failed = results.filter(([, isGood]) => !isGood).length
  process.stdout.write(`${results.length - failed} passed, ${failed} failed\n`)
  return failed
}

function fetchPackages(): void {
  mkdirSync(CACHE, { recursive: true })
  if (PACKAGES.every((name) => existsSync(join(CACHE, 'node_modules', name)))) return
  process.stderr.write(`fetching ${PACKAGES.join(', ')}\n`)
  writeFileSync(join(CACHE, 'package.json'), '{"private":true}')
  execFileSync('npm', ['install', '--no-audit', '--no-fund', ...PACKAGES], {
    cwd: CACHE,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

/** What it printed, whether it ended well or not. */
function run(command: string, args: string[], env: Record<string, string>): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: CACHE,
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: TIMEOUT_MS,
    })
    let output = ''
    child.stdout.on('data', (chunk) => (output += chunk))
    child.stderr.on('data', (chunk) => (output += chunk))
    child.on('close', (code) => resolve(`${output}\nexit code ${code}\n`))
  })
}

process.exitCode = await main()
