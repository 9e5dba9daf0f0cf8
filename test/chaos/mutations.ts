/**
 * `node test/chaos/mutations.ts [--only NAME]`: breaks a copy of the broker on purpose, one thing at a time, and
 * tells which gates go red in their short form. A mutation that none notices is a hole in the gates.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { MUTATIONS, type Mutation } from './fixtures/mutations.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const { values } = parseArgs({
  options: { only: { type: 'string' }, seed: { type: 'string', default: '1' } },
})
const chosen = MUTATIONS.filter(({ name }) => values.only === undefined || name.includes(values.only))
const lines = ['| broken on purpose | gates asked | red |', '|---|---|---|']
let unnoticed = 0
for (const mutation of chosen) {
  const copy = copyWith(mutation)
  const red = mutation.gates.filter((gate) => isRed(gate, copy))
  rmSync(copy, { recursive: true, force: true })
  if (red.length === 0) unnoticed += 1
  lines.push(`| ${mutation.name} | ${mutation.gates.join(', ')} | ${red.join(', ') || '**none**'} |`)
}
process.stdout.write(`${lines.join('\n')}\n`)
process.exitCode = unnoticed === 0 ? 0 : 1

function copyWith({ name, changes }: Mutation): string {
  const copy = mkdtempSync(join(tmpdir(), 'token-broker-mutation-'))
  for (const part of ['src', 'config', 'migrations', 'package.json']) {
    cpSync(join(ROOT, part), join(copy, part), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  for (const { file, from, to } of changes) {
    const path = join(copy, file)
    const text = readFileSync(path, 'utf8')
    if (text.split(from).length !== 2) throw new Error(`${name}: ${file} does not hold this once:\n${from}`)
    writeFileSync(
      path,
      text.replace(from, () => to),
    )
  }
  return copy
}

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
