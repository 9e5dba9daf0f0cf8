/** README's commands, block by block in one shell, against a broker: what is pasted works as it stands. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startBroker } from '../support/broker.ts'
import { startProcess } from '../support/broker-process.ts'
import { sitDown } from '../support/desk.ts'
import { STAND_INS } from './fixtures/clients.ts'
import { NPX } from './fixtures/npx.ts'
import { QWEN } from './fixtures/qwen.ts'

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

/** The shell's blocks below a heading, in order. */
function blocksOf(heading: string): string[] {
  const section = README.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? ''
  return [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block)
}

/** A shell that ends where a command fails; `npx token-broker` in it is the command line of these sources. */
function startShell(
  t: Test,
  cwd: string,
  env: Record<string, string> = {},
  commands: Record<string, string> = {},
) {
  const bin = join(cwd, 'bin')
  mkdirSync(bin)
  for (const [name, does] of Object.entries({ npx: NPX, ...commands }))
    writeFileSync(join(bin, name), `#!/bin/sh\n${does}\n`, { mode: 0o755 })
  const PATH = `${bin}:${process.env['PATH']}`
  const shell = spawn('bash', ['-eo', 'pipefail'], { cwd, env: { PATH, ...env }, stdio: 'pipe' })
  t.teardown(() => shell.kill('SIGKILL'))
  let output = ''
  const hear = (chunk: Buffer) => {
    output += chunk
  }
  shell.stdout.on('data', hear)
  shell.stderr.on('data', hear)
  let calls = 0
  /** What a block says. */
  return async (block: string): Promise<string> => {
    calls += 1
    const end = `end of ${calls}`
    const from = output.length
    shell.stdin.write(`${block}\necho; echo ${end}\n`)
    await until(shell, () => output.includes(`${end}\n`))
    return output.slice(from)
  }

  function until(child: ChildProcess, isSo: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => isSo() && resolve()
      shell.stdout.on('data', look)
      child.once('exit', (code) => reject(new Error(`the shell ended with ${code}: ${output}`)))
    })
  }
}

/** What an SDK does once its variables are set. */
const SDKS: Record<string, string> = {
  OPENAI:
    "import Client from 'openai'; console.log((await new Client().responses.create({ model, input })).output_text)",
  ANTHROPIC:
    "import Client from '@anthropic-ai/sdk'; const messages = [{ role: 'user', content: input }];" +
    'console.log((await new Client().messages.create({ model, max_tokens: 9, messages })).content[0].text)',
}

t.test('each client is pointed here by the two lines of its row', async (t) => {
  const broker = await startBroker(t)
  const { key } = await broker.connect()
  const rows = [...README.matchAll(/^\| ([^|]+) \| `(.+)`<br>`(.+)` \|$/gm)]
  t.equal(rows.length, 5)
  for (const [, client = '', ...lines] of rows) {
    const cwd = t.testdir({})
    const run = startShell(t, cwd, {}, STAND_INS)
    await run(`broker=${broker.origin}\nkey=${key}`)
    const output = await run(lines.join('\n'))
    const program = /^(\w+) .*$/.exec(lines[1] ?? '')?.[1] ?? ''
    if (program !== 'export') t.match(output, `Hello from the sandbox! You said: “${program}”`, client)
    else {
      const sdk = SDKS[/export (\w+?)_/.exec(lines[1] ?? '')?.[1] ?? '']
      const script = `const model = 'sandbox-model', input = 'SDK'; ${sdk}`
      const root = new URL('../..', import.meta.url).pathname
      const said = await run(`cd '${root}'; '${process.execPath}' --input-type=module -e "${script}"`)
      t.match(said, 'Hello from the sandbox! You said: “SDK”', client)
    }
  }
})

t.test('an account is connected over the API', async (t) => {
  const broker = await startBroker(t, { config: QWEN })
  const cwd = t.testdir({ data: { 'admin-token': `${broker.adminToken}\n` } })
  const run = startShell(t, cwd)
  const [first = '', ...blocks] = blocksOf('Connect a real account')
  t.equal(blocks.length, 4)
  t.notMatch(blocks.join(), '…', 'nothing is left to fill in but what is set above')
  t.match(first, 'broker=http://127.0.0.1:8787\n')
  await run(first.replace('http://127.0.0.1:8787', broker.origin))
  const said: string[] = []
  for (const block of blocks) {
    const output = await run(block)
    said.push(output)
    const code = /"user_code":"([^"]+)"/.exec(output)?.[1]
    if (code) await broker.sandbox.approve(code)
  }
  t.match(said.join(), /"key":"sk-tb-/)
  const { items } = (await broker.admin('GET', '/api/models/configs')).body
  t.same(
    items.map(({ name, credential }: { name: string; credential: { state: string } }) => [
      name,
      credential.state,
    ]),
    [
      ['dashscope', 'active'],
      ['qwen', 'active'],
    ],
  )
  const keys = (await broker.admin('GET', '/api/keys')).body.items
  t.same(keys[0].model_config_ids, [items[1].id])
})

t.test('from the built-in key to one of your own', async (t) => {
  const desk = sitDown(t)
  const env = { DATA_DIR: desk.env.DATA_DIR }
  const before = await startProcess(t, { env })
  const key = await before.practiceKey() // behind the lines of the start
  await before.untilSaid(/sealed with the built-in key/)
  await before.terminate('SIGINT')

  const run = startShell(t, desk.home, env)
  const [, generate = '', rotate = ''] = blocksOf('In production')
  await run(generate)
  const own = (await run('echo $TOKEN_ENCRYPTION_KEY')).split('\n')[0] ?? ''

  const refused = await desk.run(['serve'], '', { PORT: '0', TOKEN_ENCRYPTION_KEY: own })
  t.equal(refused.code, 1)
  t.match(
    refused.err,
    /^token-broker: TOKEN_ENCRYPTION_KEY: .*built-in key, which is missing.*YOURS,default.*rotate\n$/,
  )
  const doctor = await run('npx token-broker doctor || true')
  t.match(doctor, /TOKEN_ENCRYPTION_KEY: .*built-in key, which is missing/, 'doctor says the same')

  t.match(await run(rotate), /\d+ values sealed with the first key/)
  const after = await startProcess(t, { env: { ...env, TOKEN_ENCRYPTION_KEY: own } })
  t.equal((await after.complete(key)).status, 200)
  await after.terminate('SIGINT')
  const back = await desk.run(['serve'], '', { PORT: '0' })
  t.equal(back.code, 1, 'the built-in key opens nothing any more')
})
