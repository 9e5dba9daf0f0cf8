/**
 * Databases that are compared with each other: each measurement has a broker of its own, for processes of one program
 * differ from start to start.
 */
import type { BrokerProcess } from '../support/broker-process.ts'
import { startBroker } from './broker.ts'
import type { FilledDatabase } from './fill-database.ts'
import type { Lab } from './lab.ts'
import { brokerPeer, type Peer, verify } from './peers.ts'

export interface Subject extends FilledDatabase {
  readonly name: string
  readonly size: number
}

/** Fills a database for each size. */
export async function subjectsOf(
  lab: Lab,
  gate: string,
  sizes: readonly number[],
  fill: (size: number) => Promise<FilledDatabase>,
): Promise<Subject[]> {
  const subjects: Subject[] = []
  for (const size of sizes) {
    lab.say(`${gate} filling a database with ${size} configs`)
    subjects.push({ name: `${size} configs`, size, ...(await fill(size)) })
  }
  return subjects
}

/** Its first call has been answered. */
export async function withBroker<Result>(
  lab: Lab,
  providers: Record<string, object>,
  { env, keys, name }: Subject,
  measure: (peer: Peer, running: BrokerProcess) => Promise<Result>,
): Promise<Result> {
  const running = await startBroker(lab, { providers, env: { DATA_DIR: env['DATA_DIR'] } })
  try {
    const peer = { ...brokerPeer(running, keys[0] ?? ''), name }
    await verify(peer)
    return await measure(peer, running)
  } finally {
    await running.terminate('SIGINT')
  }
}
