/**
 * `node test/bench/mutations.ts [--only NAME] [--rounds N] [--seconds N]`: takes something out of a copy of the broker,
 * builds it, and tells which rows of the gate that should notice are missed. One that none notices is a hole in it.
 */
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { mutantOf } from '../support/mutant.ts'
import { MUTATIONS } from './fixtures/mutations.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))
const MISSED = '| **no** |'

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
  },
})
const lines = ['| taken out | gate | missed |', '|---|---|---|']
let unnoticed = 0
for (const mutation of MUTATIONS) {
  if (values.only !== undefined && !mutation.name.includes(values.only)) continue
  const copy = mutantOf(mutation)
  if (run(join(copy, 'src/build.ts'), []).status !== 0) throw new Error(`${mutation.name}: it is not built`)
  for (const gate of mutation.gates) {
    const missed = missedBy(gate, copy)
    if (missed.length === 0) unnoticed += 1
    lines.push(`| ${mutation.name} | ${gate} | ${missed.join('; ') || '**none**'} |`)
  }
  rmSync(copy, { recursive: true, force: true })
}
process.stdout.write(`${lines.join('\n')}\n`)
process.exitCode = unnoticed === 0 ? 0 : 1

/** What it found, and what it wants. */
function missedBy(gate: string, copy: string): string[] {
  const options = ['--only', gate, '--of', copy, '--rounds', values.rounds, '--seconds', values.seconds]
  const page = run(MAIN, options).stdout
  const rows = page.split('\n').filter((line) => line.endsWith(MISSED))
  return rows.map((row) => {
    const [, , what = '', figure = '', required = ''] = row.split('|').map((cell) => cell.trim())
    return `${what}: ${figure} (${required})`
  })
}

function run(script: string, args: readonly string[]) {
  return spawnSync(process.execPath, [script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  })
}
