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

/** RSS, in KiB. */
interface Memory {
  readonly idle: number
  readonly open: number
  readonly peak: number
  /** What came until the end in pages of files, which are those of the program: read when first run, and shared. */
  readonly ofFiles: number
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
      what: 'KiB of RSS a stream, at most',
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
        ({ idle, open, peak, ofFiles }) =>
          `RSS idle ${mebibytes(idle)}; while open median ${mebibytes(open)}, peak ${mebibytes(peak)}, ${mebibytes(ofFiles)} of it pages of the program that were not there before; ${chunksOf(lab)} chunks a stream`,
      ),
    }
  },
}

/** Of a broker of its own. */
async function memoryOf(lab: Lab, providers: Record<string, object>): Promise<Memory> {
  const running = await startBroker(lab, { providers })
  const peer = brokerPeer(running, await connect(running, 'bench'))
  await readStreams(peer, { streams: 1, chunks: 1, pauseMs: 1, passes: 1 })
  await sleep(IDLE_MS)
  const resident = () => residentBytes(running.pid) / 1024
  const filePages = () => resident() - anonymousBytes(running.pid) / 1024
  const idle = resident()
  const filesBefore = filePages()
  lab.say(`P5 ${STREAMS} streams for ${chunksOf(lab)} s`)
  const samples: number[] = []
  let timer: NodeJS.Timeout | undefined
  const sampleWhileOpen = () => {
    timer = setInterval(() => samples.push(resident()), SAMPLE_MS)
  }
  const order = { streams: STREAMS, chunks: chunksOf(lab), pauseMs: PAUSE_MS, passes: 1 }
  await readStreams(peer, order, sampleWhileOpen).finally(() => clearInterval(timer))
  const ofFiles = filePages() - filesBefore
  await running.terminate('SIGINT')
  return { idle, open: median(samples), peak: Math.max(...samples), ofFiles }
}

function chunksOf(lab: Lab): number {
  return Math.max(MIN_CHUNKS, lab.rounds * lab.seconds)
}

function mebibytes(kibibytes: number): string {
  return `${(kibibytes / 1024).toFixed(1)} MiB`
}
