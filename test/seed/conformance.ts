/**
 * Writes docs/conformance.md: each requirement and scenario of the seed, and how it fared on each database.
 *
 *   node test/seed/conformance.ts           runs the seed tests and writes the file
 *   node test/seed/conformance.ts --check   runs them and fails if the file says anything else
 *
 * The table is made of the names of the tests, so that it cannot say more than they prove.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PAGE = 'docs/conformance.md'
const HEAD = `# Conformance

What the requirement asks for, scenario by scenario, and how the tests in \`test/seed/\` fared on each database.
Made by \`node test/seed/conformance.ts\` from the names of those tests; do not edit.
`

/** What a scenario asks for, and is done otherwise on purpose. */
const NOTES: Readonly<Record<string, string>> = {
  存储额外元数据:
    'Of what a server adds, `oauth_metadata` keeps the members that are known to be no secret (`PUBLIC_NAMES` in `src/oauth/token-response.ts`, `resource_url` among them): the column is not sealed, and an `id_token` is a secret.',
}

type Database = 'SQLite' | 'MySQL'
type Result = 'pass' | 'FAIL' | 'skipped'
/** Requirement → scenario → database → result. */
type Results = Map<string, Map<string, Partial<Record<Database, Result>>>>

const RESULT = /^\s*(not )?ok \d+ - Scenario: (.+) \((SQLite|MySQL)\)( # SKIP)?/i

/** From the TAP of the runner, in the order of the tests. */
export function readResults(tap: string): Results {
  const results: Results = new Map()
  let scenarios = new Map<string, Partial<Record<Database, Result>>>()
  for (const line of tap.split('\n')) {
    const requirement = /^\s*# Subtest: Requirement: (.+)$/.exec(line)?.[1]
    if (requirement) {
      scenarios = new Map()
      results.set(requirement, scenarios)
    }
    const [, failed, name, database, skipped] = RESULT.exec(line) ?? []
    if (!name || !database) continue
    const row = scenarios.get(name) ?? {}
    row[database as Database] = failed ? 'FAIL' : skipped ? 'skipped' : 'pass'
    scenarios.set(name, row)
  }
  return results
}

export function pageOf(results: Results): string {
  const inOrder = [...results].sort(([one], [other]) => (one < other ? -1 : 1))
  const sections = inOrder.map(([requirement, scenarios]) => {
    const rows = [...scenarios].map(
      ([name, { SQLite = 'missing', MySQL = 'missing' }]) => `| ${name} | ${SQLite} | ${MySQL} |`,
    )
    const notes = [...scenarios.keys()].flatMap((name) =>
      NOTES[name] ? [`\n${name}: ${NOTES[name]}\n`] : [],
    )
    return `## ${requirement}\n\n| scenario | SQLite | MySQL |\n|---|---|---|\n${rows.join('\n')}\n${notes.join('')}`
  })
  return [HEAD, ...sections].join('\n')
}

/**
 * What the seed tests print.
 * @throws if the run did not come to its end: a page made of half a run would look as good as a whole one
 */
async function runSeedTests(): Promise<string> {
  const files = globSync('test/seed/*.test.ts', { cwd: ROOT }).sort()
  const child = spawn(process.execPath, ['test/run.ts', '--reporter=tap', '--jobs=1', ...files], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, PATH: join(ROOT, 'node_modules/.bin') + delimiter + process.env['PATH'] },
  })
  const exit = once(child, 'exit')
  const chunks: Buffer[] = []
  for await (const chunk of child.stdout) chunks.push(chunk)
  const [code, signal] = await exit
  const tap = Buffer.concat(chunks).toString('utf8')
  const ended = new Set([...tap.matchAll(/^(?:not )?ok \d+ - (\S+)/gm)].map(([, file]) => file))
  const missing = files.filter((file) => !ended.has(file))
  if (missing.length > 0) throw new Error(`no result of ${missing.join(', ')} (exit ${code ?? signal})`)
  if (code !== 0) process.exitCode = 1
  return tap
}

async function main(isCheck: boolean): Promise<void> {
  const page = pageOf(readResults(await runSeedTests()))
  if (/\| (FAIL|missing) \|/.test(page)) {
    console.error(`not every scenario passes:\n${page}`)
    process.exitCode = 1
  }
  if (!isCheck) {
    writeFileSync(join(ROOT, PAGE), page)
  } else if (readFileSync(join(ROOT, PAGE), 'utf8') !== page) {
    console.error(`${PAGE} says something else: run node test/seed/conformance.ts`)
    process.exitCode = 1
  }
}

if (import.meta.main) await main(process.argv.includes('--check'))
