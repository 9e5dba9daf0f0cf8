/**
 * Gate F7 in few rounds; `npm run test:fuzz` runs it in full. `FUZZ_COUNT` says how many, `FUZZ_SEED` which ones.
 */
import t from 'tap'
import { runFuzz } from './fuzz.ts'

const COUNT = Number(process.env['FUZZ_COUNT'] ?? 250)
const SEED = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 32))

t.test(`F7 holds in its short form, with seed ${SEED}`, { timeout: 170_000 + COUNT * 100 }, async (t) => {
  const sizes = { malformed: COUNT, wellFramed: COUNT, everyHead: 3 }
  const parts = await runFuzz(t, sizes, SEED, () => {})
  for (const { what, tally } of parts) {
    const counts = [...tally.statuses].sort().map(([status, times]) => `${times} × ${status}`)
    t.same(tally.misses, [], `${tally.sent} ${what} of seed ${SEED}: ${counts.join(', ')}`)
    t.ok(tally.sent > 0)
  }
  const wellFramed = parts.at(-1)?.tally.statuses
  t.ok((wellFramed?.get('200') ?? 0) > COUNT / 20, 'some of them were good enough')
  t.equal(Reflect.get({}, 'isAdmin'), undefined)
})
