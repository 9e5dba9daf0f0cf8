/**
 * S1, S8: a key over all accounts, be they ten or a hundred thousand, each of which lists the same twenty models: calls
 * stay as fast, and `GET /v1/models` says each model once.
 */
import { must } from '../../support/broker.ts'
import type { BrokerProcess } from '../../support/broker-process.ts'
import { connect, plainProvider } from '../broker.ts'
import { fillUnderOneKey, MODELS } from '../fill-database.ts'
import type { Findings, Gate, Lab, Row } from '../lab.ts'
import { describeLoads, load } from '../load.ts'
import type { Peer } from '../peers.ts'
import { inRounds, ratioRow } from '../rounds.ts'
import { median } from '../statistics.ts'
import { type Subject, subjectsOf, withBroker } from '../subject.ts'
import { startStaticUpstream } from '../upstreams.ts'

const SIZES = [10, 1_000, 10_000, 100_000] as const
const SHORT_SIZES = [10, 1_000] as const
/** A process that has just started compiles for so long, and has just read all configs. */
const WARM_UP_SECONDS = 10
const LISTED = 10_000
const MAX_LIST_MS = 50
const LISTS = 20

export const unrestrictedKeys: Gate = {
  id: 'S1',
  title: 'a key over all configs, of which there are 10 to 100,000',
  async run(lab: Lab): Promise<Findings> {
    const providers = plainProvider(await startStaticUpstream(lab))
    const fill = (size: number) => fillUnderOneKey(lab, providers, size)
    const subjects = await subjectsOf(lab, 'S1', lab.isShort ? SHORT_SIZES : SIZES, fill)
    const rounds = await inRounds(
      lab,
      'S1',
      subjects,
      (subject) => withBroker(lab, providers, subject, (peer) => measureWarm(lab, peer)),
      ({ perSecond }) => `${Math.round(perSecond)}/s`,
    )
    const speeds = ({ name }: Subject) => rounds.all(name, ({ perSecond }) => perSecond)
    const [small, ...larger] = subjects
    if (!small) throw new Error('one size at least')
    return {
      rows: larger.map((large) =>
        ratioRow(`calls/s, ${large.size} configs against ${small.size}`, speeds(large), speeds(small), {
          least: 0.9,
        }),
      ),
      notes: subjects.map(({ name }) => describeLoads(rounds, name)),
    }
  },
}

async function measureWarm(lab: Lab, peer: Peer) {
  await load(lab, peer, lab.isShort ? 2 * lab.seconds : WARM_UP_SECONDS)
  return load(lab, peer, lab.seconds)
}

export const longModelsList: Gate = {
  id: 'S8',
  title: `GET /v1/models of ${LISTED.toLocaleString('en')} configs`,
  async run(lab: Lab): Promise<Findings> {
    const providers = plainProvider(await startStaticUpstream(lab))
    const size = lab.isShort ? 1_000 : LISTED
    const [subject] = await subjectsOf(lab, 'S8', [size], (size) => fillUnderOneKey(lab, providers, size))
    if (!subject) throw new Error('one size')
    return withBroker(lab, providers, subject, async (peer, running) => {
      const again: number[] = []
      const changed: number[] = []
      for (let round = 0; round < LISTS; round += 1) {
        again.push((await listModels(peer)).ms)
        await connect(running, 'bench', { name: `new-${round}` })
        changed.push((await listModels(peer)).ms)
      }
      return {
        rows: [onceRow(await listModels(peer)), timeRow('after a change', changed), timeRow('again', again)],
        notes: [`${(await countOf(running)).toLocaleString('en')} configs of ${MODELS} models each`],
      }
    })
  },
}

async function listModels({ origin, headers }: Peer): Promise<{ ids: string[]; ms: number }> {
  const startedAt = performance.now()
  const response = await fetch(`${origin}/v1/models`, { headers })
  const { data } = (await response.json()) as { data: readonly { id: string }[] }
  return { ids: data.map(({ id }) => id), ms: performance.now() - startedAt }
}

function onceRow({ ids }: { readonly ids: readonly string[] }): Row {
  return {
    what: 'models in the list; different ones',
    figure: `${ids.length}; ${new Set(ids).size}`,
    required: `${MODELS}; ${MODELS}`,
    reached: ids.length === MODELS && new Set(ids).size === MODELS,
  }
}

function timeRow(when: string, times: readonly number[]): Row {
  return {
    what: `the list ${when}`,
    figure: `${median(times).toFixed(1)} ms (worst ${Math.max(...times).toFixed(1)})`,
    required: `<= ${MAX_LIST_MS} ms`,
    reached: median(times) <= MAX_LIST_MS,
  }
}

async function countOf(running: BrokerProcess): Promise<number> {
  return (await must(running.admin('GET', '/api/models/configs?page_size=1'))).total
}
