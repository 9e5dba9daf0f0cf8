/**
 * `npm run bench`: the speed gates, each measured against peers in the same run.
 *
 *   --only P1,P3   these gates        --rounds N   per gate (default 7)
 *   --quick        3 rounds of 1 s    --seconds N  per round (default 3)
 *   --before DIR   P1 and P2 beside the broker of another checkout, which is built
 *   --of DIR       that checkout's broker instead of this one's
 *
 * Exit code 1 if a gate is missed or a peer failed. A full run also writes docs/performance-measured.md.
 */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { addedLatency } from './gates/added-latency.ts'
import { backgroundRefresh } from './gates/background-refresh.ts'
import { changingConfigs } from './gates/changing-configs.ts'
import { consoleOfMany } from './gates/console.ts'
import { endedCredentials } from './gates/ended-credentials.ts'
import { fastStreams } from './gates/fast-streams.ts'
import { hopelessLogins } from './gates/hopeless-logins.ts'
import { idleCredentials } from './gates/idle-credentials.ts'
import { inventedModels } from './gates/invented-models.ts'
import { largeBodies } from './gates/large-bodies.ts'
import { manyConfigs } from './gates/many-configs.ts'
import { rotatingTokens } from './gates/rotating-tokens.ts'
import { slowStreams } from './gates/slow-streams.ts'
import { startUp } from './gates/start.ts'
import { throughput } from './gates/throughput.ts'
import { longModelsList, unrestrictedKeys } from './gates/unrestricted-keys.ts'
import { workers } from './gates/workers.ts'
import { type Findings, type Gate, type Lab, openLab } from './lab.ts'
import { stopAll } from './processes.ts'
import { type Result, renderPage, writePage } from './report.ts'

const GATES: readonly Gate[] = [
  throughput,
  fastStreams,
  addedLatency,
  rotatingTokens,
  slowStreams,
  manyConfigs,
  workers,
  startUp,
  largeBodies,
  backgroundRefresh,
  hopelessLogins,
  unrestrictedKeys,
  changingConfigs,
  idleCredentials,
  inventedModels,
  longModelsList,
  endedCredentials,
  consoleOfMany,
]

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    before: { type: 'string' },
    of: { type: 'string' },
  },
})
const chosen = choose(values.only)
const lab = openLab({
  rounds: Number(values.rounds ?? (values.quick ? 3 : 7)),
  seconds: Number(values.seconds ?? (values.quick ? 1 : 3)),
  isShort: values.quick,
  checkout: values.of && resolve(values.of),
  before: values.before && resolve(values.before),
})
process.on('SIGINT', () => process.exit(130))
if (!lab.hasWrk) lab.say('no wrk here: the load comes from autocannon')
if (!lab.hasNginx) lab.say('no nginx here: the upstream is node:http, and rows about nginx are skipped')

const results: Result[] = []
let hasBrokenDown = false
for (const gate of chosen) {
  lab.say(`${gate.id} ${gate.title}`)
  results.push({ gate, findings: await findingsOf(gate, lab) })
  await lab.endGate()
  await stopAll()
}
process.stdout.write(`${renderPage(lab, results)}\n`)
const isOurs = values.before === undefined && values.of === undefined
if (chosen.length === GATES.length && !values.quick && isOurs) writePage(renderPage(lab, results))
else lab.say('docs/performance-measured.md is left as it is: this was not a full run')
if (hasBrokenDown) lab.say(`what the peers logged is in ${lab.dir}`)
else lab.close()
const isStrict = process.env['CI'] === 'true'
const isReached = ({ reached }: { reached: boolean | 'skipped' }) =>
  reached === 'skipped' ? !isStrict : reached
process.exitCode = results.every(({ findings }) => findings.rows.every(isReached)) ? 0 : 1

function choose(only: string | undefined): readonly Gate[] {
  if (only === undefined) return GATES
  const ids = only.split(',')
  const unknown = ids.find((id) => !GATES.some((gate) => gate.id === id))
  if (unknown !== undefined) throw new Error(`there is no gate ${unknown}`)
  return GATES.filter((gate) => ids.includes(gate.id))
}

/** A gate that broke down is a gate missed, and no reason to leave out the others. */
async function findingsOf(gate: Gate, lab: Lab): Promise<Findings> {
  try {
    return await gate.run(lab)
  } catch (error) {
    hasBrokenDown = true
    lab.say(error instanceof Error ? (error.stack ?? error.message) : String(error))
    const figure = `broke down: ${error instanceof Error ? error.message : error}`
    return { rows: [{ what: gate.title, figure, required: 'no peer fails', reached: false }], notes: [] }
  }
}
