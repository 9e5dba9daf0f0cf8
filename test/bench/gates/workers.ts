/**
 * P7: `WORKERS=2` against one process, and one refresh per rotation over all workers.
 */
import { availableParallelism } from 'node:os'
import { childrenOf } from '../../support/processes.ts'
import { connect, plainProvider, startBroker } from '../broker.ts'
import type { Findings, Gate, Lab, Row } from '../lab.ts'
import { openLoad, throughputs } from '../load.ts'
import { brokerPeer, type Peer } from '../peers.ts'
import { ROTATION_SECONDS, startRotation } from '../rotation.ts'
import { ratioRow } from '../rounds.ts'
import { startStaticUpstream } from '../upstreams.ts'

const WORKERS = 2
/** Two workers, the load and the upstream: with fewer cores they only take time from each other. */
const CORES_NEEDED = 4
const LEAST = 1.6
const CALLS_PER_SECOND = 200
const ROTATING_SECONDS = 12

export const workers: Gate = {
  id: 'P7',
  title: `WORKERS=${WORKERS}`,
  async run(lab: Lab): Promise<Findings> {
    const rotation = await startRotation(lab, { WORKERS: String(WORKERS) })
    if (childrenOf(rotation.broker.pid).length < WORKERS) {
      const missing = { figure: 'not available: one process serves', reached: false }
      return {
        rows: [
          { what: 'calls/s, times one process', required: `>= ${LEAST}`, ...missing },
          { what: 'refreshes per rotation, all workers', required: '1', ...missing },
        ],
        notes: [],
      }
    }
    return { rows: [await speedRow(lab), await refreshRow(rotation)], notes: [] }
  },
}

async function speedRow(lab: Lab): Promise<Row> {
  const row = { what: 'calls/s, times one process', required: `>= ${LEAST}` }
  const cores = availableParallelism()
  if (cores < CORES_NEEDED) {
    return { ...row, figure: `${cores} cores; this needs ${CORES_NEEDED}`, reached: 'skipped' }
  }
  const upstream = await startStaticUpstream(lab)
  const peers: Peer[] = []
  for (const count of [1, WORKERS]) {
    const env = { WORKERS: String(count) }
    const running = await startBroker(lab, { providers: plainProvider(upstream), env })
    peers.push({ ...brokerPeer(running, await connect(running, 'bench')), name: `WORKERS=${count}` })
  }
  const rounds = await throughputs(lab, 'P7', peers)
  const [one, many] = peers.map(({ name }) => rounds.all(name, ({ perSecond }) => perSecond))
  return ratioRow(row.what, many ?? [], one ?? [], { least: LEAST })
}

async function refreshRow({ rotating, counts }: Awaited<ReturnType<typeof startRotation>>): Promise<Row> {
  const before = await counts()
  const options = { perSecond: CALLS_PER_SECOND, seconds: ROTATING_SECONDS, warmUpSeconds: 0 }
  const startedAt = performance.now()
  const result = await openLoad(rotating, options)
  const elapsed = (performance.now() - startedAt) / 1000
  const after = await counts()
  const requests = after.refreshRequests - before.refreshRequests
  const grants = after.refreshGrants - before.refreshGrants
  const most = Math.floor(elapsed / ROTATION_SECONDS) + 1
  const least = Math.floor(ROTATING_SECONDS / ROTATION_SECONDS) - 1
  return {
    what: 'refreshes, all workers; calls failed; families revoked',
    figure: `${requests} in ${elapsed.toFixed(0)} s; ${result.failed}; ${after.familiesRevoked}`,
    required: `${least} to ${most}; 0; 0`,
    reached:
      requests === grants &&
      requests >= least &&
      requests <= most &&
      result.failed === 0 &&
      after.familiesRevoked === 0,
  }
}
