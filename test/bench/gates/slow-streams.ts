/**
 * P5: a thousand streams that are open for long, and what each costs in memory.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { anonymousBytes, residentBytes } from '../../support/resident-bytes.ts'
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
/** Processes of one program differ by some MiB: by what was left of their garbage at the moment of the peak. */
const STARTS = 3
/** What serves a stream has been compiled: no stream's memory. */
const WARM_UP = { streams: 100, chunks: 3, pauseMs: 100, passes: 1 }

/** In KiB, of memory that is no page of the program's file. */
interface Memory {
  readonly idle: number
  readonly open: number
  readonly peak: number
  /** RSS, all of it. */
  readonly resident: number
}

export const slowStreams: Gate = {
  id: 'P5',
  title: `${STREAMS} open SSE streams, one chunk a second`,
  async run(lab: Lab): Promise<Findings> {
    const providers = plainProvider(await startSseUpstream())
    const measured: Memory[] = []
    while (measured.length < STARTS) measured.push(await memoryOf(lab, providers))
    const perStream = measured.map(({ idle, peak }) => (peak - idle) / STREAMS)
    const memory: Row = {
      what: 'KiB of RSS a stream, at most, program pages aside',
      figure: `${median(perStream).toFixed(1)} (worst ${Math.max(...perStream).toFixed(1)})`,
      required: `<= ${MAX_KIB_A_STREAM}`,
      reached: median(perStream) <= MAX_KIB_A_STREAM,
    }
    return {
      rows: [
        Number.isNaN(median(perStream)) ? { ...memory, figure: 'no /proc here', reached: 'skipped' } : memory,
        // Reading throws at the first stream that differs by a byte.
        { what: 'streams with a byte lost or reordered', figure: '0', required: '0', reached: true },
      ],
      notes: measured.map(
        ({ idle, open, peak, resident }) =>
          `idle ${mebibytes(idle)}; while open median ${mebibytes(open)}, peak ${mebibytes(peak)}, with all program pages ${mebibytes(resident)}; ${chunksOf(lab)} chunks a stream`,
      ),
    }
  },
}

/** Of a broker of its own. */
async function memoryOf(lab: Lab, providers: Record<string, object>): Promise<Memory> {
  const running = await startBroker(lab, { providers })
  const peer = brokerPeer(running, await connect(running, 'bench'))
  await readStreams(peer, WARM_UP)
  await sleep(IDLE_MS)
  const own = () => anonymousBytes(running.pid) / 1024
  const idle = own()
  lab.say(`P5 ${STREAMS} streams for ${chunksOf(lab)} s`)
  const samples: number[] = []
  let resident = 0
  let timer: NodeJS.Timeout | undefined
  const sampleWhileOpen = () => {
    timer = setInterval(() => {
      samples.push(own())
      resident = Math.max(resident, residentBytes(running.pid) / 1024)
    }, SAMPLE_MS)
  }
  const order = { streams: STREAMS, chunks: chunksOf(lab), pauseMs: PAUSE_MS, passes: 1 }
  await readStreams(peer, order, sampleWhileOpen).finally(() => clearInterval(timer))
  await running.terminate('SIGINT')
  return { idle, open: median(samples), peak: Math.max(...samples), resident }
}

function chunksOf(lab: Lab): number {
  return Math.max(MIN_CHUNKS, lab.rounds * lab.seconds)
}

function mebibytes(kibibytes: number): string {
  return `${(kibibytes / 1024).toFixed(1)} MiB`
}
