/**
 * P6: 10, 1,000 and 100,000 configs and keys: warm calls stay as fast, cold ones cost one indexed query each.
 */
import { plainProvider } from '../broker.ts'
import { coldLookUps, isIndexed } from '../cold-look-up.ts'
import { fillDatabase } from '../fill-database.ts'
import type { Findings, Gate, Lab, Row } from '../lab.ts'
import { flawlessOpenLoad, load } from '../load.ts'
import { type Peer, verify } from '../peers.ts'
import { inRounds, ratioRow } from '../rounds.ts'
import type { OpenLoopResult } from '../scripts/open-loop-client.ts'
import { median } from '../statistics.ts'
import { type Subject, subjectsOf, withBroker } from '../subject.ts'
import { startStaticUpstream } from '../upstreams.ts'

const SIZES = [10, 1_000, 100_000] as const
/** Keys that take turns. */
const MAX_KEYS = 1_000
const CALLS_PER_SECOND = 1_000
/** Each key has had ten calls then: client and broker compile what calls need for longer than one second. */
const WARM_UP_SECONDS = 10
const COLD_CALLS = 200

export const manyConfigs: Gate = {
  id: 'P6',
  title: `${SIZES.map((size) => size.toLocaleString('en')).join(', ')} configs and keys`,
  async run(lab: Lab): Promise<Findings> {
    const providers = plainProvider(await startStaticUpstream(lab))
    const subjects = await subjectsOf(lab, 'P6', SIZES, (size) => fillDatabase(lab, providers, size))
    const rounds = await inRounds(
      lab,
      'P6 warm p50',
      subjects,
      (subject) => withBroker(lab, providers, subject, (peer) => measureWarm(lab, peer, subject)),
      ({ p50 }) => `${p50.toFixed(3)} ms`,
    )
    const p50s = ({ name }: Subject) => rounds.all(name, ({ p50 }) => p50)
    const [small, ...larger] = subjects
    const largest = larger.at(-1)
    if (!small || !largest) throw new Error('two sizes at least')
    const colds = await withBroker(lab, providers, largest, (peer) => measureCold(peer, largest))
    return {
      rows: [
        ...larger.map((large) =>
          ratioRow(`warm p50, ${large.size} configs against ${small.size}`, p50s(large), p50s(small), {
            most: 1.1,
          }),
        ),
        await coldRow(largest),
      ],
      notes: [
        ...subjects.map((subject) => `${subject.name}: warm p50 ${median(p50s(subject)).toFixed(3)} ms`),
        `a cold call among ${largest.size}: median ${median(colds).toFixed(2)} ms, one after the other`,
      ],
    }
  },
}

async function measureWarm(lab: Lab, peer: Peer, subject: Subject): Promise<OpenLoopResult> {
  await load(lab, peer, 2 * lab.seconds)
  return flawlessOpenLoad(peer, {
    keys: subject.keys.slice(0, MAX_KEYS),
    perSecond: CALLS_PER_SECOND,
    seconds: lab.seconds,
    warmUpSeconds: WARM_UP_SECONDS,
  })
}

/** Keys that were never used before, one call each. */
async function measureCold(peer: Peer, { keys }: Subject): Promise<number[]> {
  const times: number[] = []
  for (const key of keys.slice(-COLD_CALLS)) {
    const startedAt = performance.now()
    await verify({ ...peer, headers: { authorization: `Bearer ${key}` } })
    times.push(performance.now() - startedAt)
  }
  return times
}

async function coldRow({ env, keys, size }: Subject): Promise<Row> {
  const lookUps = await coldLookUps(env, keys.at(-1) ?? '')
  return {
    what: `queries of a cold look-up among ${size}`,
    figure: lookUps
      .map(({ what, plans }) => `${what} ${plans.length}${plans.every(isIndexed) ? '' : ` (${plans})`}`)
      .join(', '),
    required: 'one each, by index',
    reached: lookUps.every(({ plans }) => plans.length === 1 && plans.every(isIndexed)),
  }
}
