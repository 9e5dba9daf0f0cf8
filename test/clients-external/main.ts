/**
 * `npm run test:clients`: programs that others wrote, as they come from their registries, and the suites of the SDKs' own
 * repositories, through a broker. All of it is fetched into temporary folders.
 *
 *   --openai PATH      checkout of openai-node, else its repository is cloned
 *   --anthropic PATH   checkout of anthropic-sdk-typescript, likewise; PATH@VERSION where there is no package.json
 *   --only A,B         these, by name
 *
 * Exit code 1 if one fails, or none runs. What cannot be had is told as not run.
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Test } from 'tap'
import { BUILT, startProcess } from '../support/broker-process.ts'
import { AGENTS, type Agent, runAgent } from './agents.ts'
import { NotToBeHad, run } from './installed.ts'
import { runSuite, SUITES } from './suites.ts'

interface Report {
  readonly version: string
  /** What is to be told even if all is well. */
  readonly lines?: readonly string[]
  readonly differences: readonly string[]
}

type Run = (t: Pick<Test, 'teardown'>) => Promise<Report>

/** Forty thousand calls take minutes on a machine with nothing else to do. */
const IDS_SECONDS = 1_800
const ROOT = fileURLToPath(new URL('../../', import.meta.url))

const { values } = parseArgs({
  options: { openai: { type: 'string' }, anthropic: { type: 'string' }, only: { type: 'string' } },
})
process.on('SIGINT', () => process.exit(130))
process.on('SIGTERM', () => process.exit(143))

const RUNS = new Map<string, Run>([
  [SUITES.openai.name, (t) => runSuite(t, SUITES.openai, values.openai)],
  [SUITES.anthropic.name, (t) => runSuite(t, SUITES.anthropic, values.anthropic)],
  ['10,000 ids over two replicas', runIds],
  ...AGENTS.map((agent): [string, Run] => [agent.name, (t) => withSandbox(t, agent)]),
])

const table: string[] = []
const counts = { passed: 0, failed: 0, 'not run': 0 }
for (const name of choose(values.only)) {
  process.stderr.write(`${name} …\n`)
  const { version, result, lines, differences } = await judge(RUNS.get(name) as Run)
  for (const difference of differences) process.stdout.write(`${name}: ${difference}\n`)
  table.push([name.padEnd(38), version.padEnd(10), result].join(' '), ...lines.map((line) => `    ${line}`))
  counts[result] += 1
}
process.stdout.write(`\n${table.join('\n')}\n\n`)
process.stdout.write(
  `${Object.entries(counts)
    .map(([what, count]) => `${count} ${what}`)
    .join(', ')}\n`,
)
process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1)

function choose(only: string | undefined): string[] {
  const names = only?.split(',') ?? [...RUNS.keys()]
  const unknown = names.find((name) => !RUNS.has(name))
  if (unknown !== undefined) throw new Error(`there is no ${unknown}, only ${[...RUNS.keys()].join(', ')}`)
  return names
}

async function judge(run: Run) {
  const endings: (() => unknown)[] = []
  try {
    const { lines = [], ...report } = await run({ teardown: (end) => void endings.push(end) })
    return { ...report, lines, result: report.differences.length === 0 ? 'passed' : 'failed' } as const
  } catch (error) {
    const { message, stack = message } = error as Error
    return error instanceof NotToBeHad
      ? ({ version: '', result: 'not run', lines: [message], differences: [] } as const)
      : ({ version: '', result: 'failed', lines: [], differences: [stack] } as const)
  } finally {
    for (const end of endings.reverse()) await end()
  }
}

/** As `npm start` starts it, for the first time. */
async function withSandbox(t: Pick<Test, 'teardown'>, agent: Agent): Promise<Report> {
  const broker = await startProcess(t, { main: BUILT })
  return runAgent(t, agent, { origin: broker.origin, key: await broker.practiceKey() })
}

/** Made through three accounts, and asked for again by the other replica: the test of it in its long form. */
async function runIds(): Promise<Report> {
  const file = 'test/gateway/ids-return-to-the-account-that-made-them.test.ts'
  const options = ['--disable-coverage', `--timeout=${IDS_SECONDS}`, '--reporter=tap', '--grep=/10000 ids/']
  const command = [process.execPath, 'test/run.ts', ...options, file]
  const { code, output } = await run(
    ROOT,
    command,
    { ...process.env, HOME_IDS: '10000' },
    1_000 * IDS_SECONDS,
  )
  const lines = output.match(/(not )?ok \d+ - 10000 ids.*/g) ?? []
  return { version: '', lines, differences: code === 0 && lines.length > 0 ? [] : [output] }
}
