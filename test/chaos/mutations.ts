/**
 * `node test/chaos/mutations.ts [--only NAME]`: breaks a copy of the broker on purpose, one thing at a time, and
 * tells which gates go red in their short form. A mutation that none notices is a hole in the gates.
 */
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { mutantOf } from '../support/mutant.ts'
import { MUTATIONS } from './fixtures/mutations.ts'

const { values } = parseArgs({
  options: { only: { type: 'string' }, seed: { type: 'string', default: '1' } },
})
const chosen = MUTATIONS.filter(({ name }) => values.only === undefined || name.includes(values.only))
const lines = ['| broken on purpose | gates asked | red |', '|---|---|---|']
let unnoticed = 0
for (const mutation of chosen) {
  const copy = mutantOf(mutation)
  const red = mutation.gates.filter((gate) => isRed(gate, copy))
  rmSync(copy, { recursive: true, force: true })
  if (red.length === 0) unnoticed += 1
  lines.push(`| ${mutation.name} | ${mutation.gates.join(', ')} | ${red.join(', ') || '**none**'} |`)
}
process.stdout.write(`${lines.join('\n')}\n`)
process.exitCode = unnoticed === 0 ? 0 : 1

function isRed(gate: string, copy: string): boolean {
  const main = fileURLToPath(new URL('./main.ts', import.meta.url))
  const args = [main, '--short', '--only', gate, '--seed', values.seed]
  const { status, stdout } = spawnSync(process.execPath, args, {
    env: { ...process.env, BROKER_ROOT: copy },
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  })
  process.stderr.write(stdout)
  return status !== 0
}
