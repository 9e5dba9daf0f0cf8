/**
 * P8: from spawn to `/health/ready` on a SQLite file that exists already, and what an idle process weighs.
 */
import { residentBytes } from '../../support/resident-bytes.ts'
import { connect, plainProvider, startBroker } from '../broker.ts'
import type { Findings, Gate, Lab, Row } from '../lab.ts'
import { median } from '../statistics.ts'

const MAX_READY_MS = 1_000
const MAX_IDLE_BYTES = 120e6
const IDLE_MS = 5_000
/** Never called. */
const NO_UPSTREAM = 'http://127.0.0.1:9'

export const startUp: Gate = {
  id: 'P8',
  title: 'start on an existing SQLite file, then idle',
  async run(lab: Lab): Promise<Findings> {
    const providers = plainProvider(NO_UPSTREAM)
    const first = await startBroker(lab, { providers })
    await connect(first, 'bench')
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS)) // until the sandbox has enrolled itself
    await first.terminate('SIGINT')
    const ready: number[] = []
    const idle: number[] = []
    for (let round = 1; round <= lab.rounds; round += 1) {
      const running = await startBroker(lab, { providers, env: { DATA_DIR: first.dataDir } })
      ready.push(running.readyMs)
      await new Promise((resolve) => setTimeout(resolve, IDLE_MS))
      idle.push(residentBytes(running.pid))
      await running.terminate('SIGINT')
      lab.say(
        `P8 round ${round} of ${lab.rounds}: ${running.readyMs.toFixed(0)} ms, ${megabytes(idle.at(-1) ?? 0)}`,
      )
    }
    const memory: Row = {
      what: 'RSS when idle',
      figure: `${megabytes(median(idle))} (worst ${megabytes(Math.max(...idle))})`,
      required: '<= 120 MB',
      reached: median(idle) <= MAX_IDLE_BYTES,
    }
    return {
      rows: [
        {
          what: 'start to ready',
          figure: `${median(ready).toFixed(0)} ms (worst ${Math.max(...ready).toFixed(0)})`,
          required: `<= ${MAX_READY_MS} ms`,
          reached: median(ready) <= MAX_READY_MS,
        },
        Number.isNaN(median(idle)) ? { ...memory, figure: 'no /proc here', reached: 'skipped' } : memory,
      ],
      notes: [],
    }
  },
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`
}
