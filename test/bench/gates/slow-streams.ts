/**
 * P5: a thousand streams that are open for long, and what each costs in memory.
 */
import { residentBytes } from '../../support/resident-bytes.ts'
import { connect, plainProvider, startBroker } from '../broker.ts'
import type { Findings, Gate, Lab, Row } from '../lab.ts'
import { brokerPeer } from '../peers.ts'
import { readStreams } from '../sse-load.ts'
import { median } from '../statistics.ts'
import { startSseUpstream } from '../upstreams.ts'

const STREAMS = 1_000
const PAUSE_MS = 1_000
const MIN_CHUNKS = 10
const MAX_KIB_A_STREAM = 64
const IDLE_MS = 3_000
const SAMPLE_MS = 500

export const slowStreams: Gate = {
  id: 'P5',
  title: `${STREAMS} open SSE streams, one chunk a second`,
  async run(lab: Lab): Promise<Findings> {
    const running = await startBroker(lab, { providers: plainProvider(await startSseUpstream()) })
    const peer = brokerPeer(running, await connect(running, 'bench'))
    await readStreams(peer, { streams: 1, chunks: 1, pauseMs: 1, passes: 1 })
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS))
    const resident = () => residentBytes(running.pid) / 1024
    const idle = resident()
    const chunks = Math.max(MIN_CHUNKS, lab.rounds * lab.seconds)
    lab.say(`P5 ${STREAMS} streams for ${chunks} s`)
    const samples: number[] = []
    let timer: NodeJS.Timeout | undefined
    const sampleWhileOpen = () => {
      timer = setInterval(() => samples.push(resident()), SAMPLE_MS)
    }
    const order = { streams: STREAMS, chunks, pauseMs: PAUSE_MS, passes: 1 }
    await readStreams(peer, order, sampleWhileOpen).finally(() => clearInterval(timer))
    const peak = Math.max(...samples)
    const perStream = (kibibytes: number) => ((kibibytes - idle) / STREAMS).toFixed(1)
    const memory: Row = {
      what: 'KiB of RSS a stream, at most',
      figure: perStream(peak),
      required: `<= ${MAX_KIB_A_STREAM}`,
      reached: (peak - idle) / STREAMS <= MAX_KIB_A_STREAM,
    }
    return {
      rows: [
        Number.isNaN(idle) ? { ...memory, figure: 'no /proc here', reached: 'skipped' } : memory,
        // Reading throws at the first stream that differs by a byte.
        { what: 'streams with a byte lost or reordered', figure: '0', required: '0', reached: true },
      ],
      notes: [
        `RSS idle ${mebibytes(idle)}; while open median ${mebibytes(median(samples))} (${perStream(median(samples))} KiB a stream), peak ${mebibytes(peak)}; ${chunks} chunks a stream`,
      ],
    }
  },
}

function mebibytes(kibibytes: number): string {
  return `${(kibibytes / 1024).toFixed(1)} MiB`
}
