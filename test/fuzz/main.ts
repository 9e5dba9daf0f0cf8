/**
 * `npm run test:fuzz`: gate F7 in full.
 *
 *   --seed N   other requests        --count N   of each kind, instead of 10,000
 *
 * Exit code 1 on a miss.
 */
import { parseArgs } from 'node:util'
import { type Part, runFuzz } from './fuzz.ts'

const { values } = parseArgs({
  options: { seed: { type: 'string' }, count: { type: 'string', default: '10000' } },
})
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32))
const count = Number(values.count)
const teardowns: (() => unknown)[] = []
let crashes = 0
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error) => {
    crashes += 1
    process.stderr.write(`crash: ${error instanceof Error ? error.stack : String(error)}\n`)
  })
}

process.stdout.write(`seed ${seed}\n`)
const sizes = { malformed: count, wellFramed: count, everyHead: 1 }
const parts = await runFuzz({ teardown: (end) => void teardowns.push(end) }, sizes, seed, tell)
const misses = parts.reduce((sum, { tally }) => sum + tally.misses.length, 0)
process.stdout.write(`${crashes} crashes, ${misses} misses; seed ${seed}\n`)
for (const end of teardowns.reverse()) await end()
process.exit(crashes + misses === 0 ? 0 : 1)

function tell({ what, tally: { sent, statuses, worst, misses } }: Part): void {
  const counts = [...statuses].sort().map(([status, times]) => `${times} × ${status}`)
  const slowest = `the slowest ${Math.round(worst.ms)} ms (${worst.name})`
  process.stdout.write(`${sent} ${what}: ${misses.length} misses; ${counts.join(', ')}; ${slowest}\n`)
  for (const miss of misses) process.stdout.write(`  ${miss.replaceAll('\n', '\n    ')}\n`)
}
