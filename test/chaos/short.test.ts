/** The fault gates in few rounds; `npm run test:chaos` runs them in full. */
import t from 'tap'
import { GATES } from './gates.ts'
import { type Result, runGate } from './lab.ts'
import { NO_SERVER, sharedServer, stopSharedServer } from './stage.ts'

/**
 * Side by side, for most of the time is spent waiting. F14 is not among them: it compares response times, which a
 * busy machine decides.
 */
const LANES = [
  ['F3', 'F5', 'F9', 'F10'],
  ['F6', 'F8'],
  ['F1', 'F2', 'F4'],
]
const SEED = 1
/** The machine may be busy with other tests at the same time. */
t.setTimeout(300_000)

const hasServer = process.env['MYSQL_TEST_URL'] ? await sharedServer().then(Boolean, () => false) : false
t.teardown(stopSharedServer)
const asked = GATES.filter(({ id }) => LANES.flat().includes(id))
const results = new Map(asked.map(({ id }) => [id, Promise.withResolvers<Result>()]))
if (hasServer) for (const lane of LANES) void run(lane)

for (const { id, title } of asked) {
  const name = `${id} holds in its short form: ${title} (MySQL)`
  if (!hasServer && process.env['CI'] === 'true') {
    t.test(name, async (t) => t.fail(NO_SERVER))
    continue
  }
  t.test(name, { skip: hasServer ? false : NO_SERVER }, async (t) => {
    const result = await results.get(id)?.promise
    t.ok(result?.rows.length)
    for (const { what, figure, worst, required, reached } of result?.rows ?? []) {
      t.ok(reached, `${what}: ${figure}`, { required, worst })
    }
  })
}

async function run(lane: readonly string[]): Promise<void> {
  for (const gate of asked) {
    if (lane.includes(gate.id))
      results.get(gate.id)?.resolve(await runGate(gate, { seed: SEED, isShort: true }))
  }
}
