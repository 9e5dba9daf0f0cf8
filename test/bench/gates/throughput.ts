/**
 * P1: calls a second of 1 kB each, 32 connections, one process; the full path at default settings.
 */
import type { Findings, Gate, Lab, Row } from '../lab.ts'
import { CONNECTIONS, describeLoads, load, throughputs } from '../load.ts'
import { bareProxy, bareRelay, before, broker, direct, nginxProxy, type Peer, portkey } from '../peers.ts'
import { ratioRow, sideBySide } from '../rounds.ts'
import { startStaticUpstream } from '../upstreams.ts'

export const throughput: Gate = {
  id: 'P1',
  title: `1 kB POST, ${CONNECTIONS} connections`,
  async run(lab: Lab): Promise<Findings> {
    const upstream = await startStaticUpstream(lab)
    const peers = [
      direct(upstream),
      ...(lab.hasNginx ? [await nginxProxy(lab, upstream)] : []),
      await broker(lab, upstream),
      await bareProxy(upstream),
      ...(lab.before === undefined
        ? [await bareRelay(upstream), await portkey(lab, upstream)]
        : await before(lab, upstream)),
    ]
    const rounds = await throughputs(lab, 'P1', peers)
    const speeds = (name: string) => rounds.all(name, ({ perSecond }) => perSecond)
    const ours = speeds('broker')
    return {
      rows: [
        ratioRow('calls/s, times bare http-proxy', ours, speeds('http-proxy'), { least: 2 }),
        ...(lab.before === undefined
          ? [ratioRow('calls/s, times Portkey', ours, speeds('portkey'), { least: 15 })]
          : await besideBefore(lab, peers)),
        ratioRow('calls/s, times nginx', ours, speeds('nginx'), { least: 0.25 }),
      ],
      notes: rounds.names().map((name) => describeLoads(rounds, name)),
    }
  },
}

async function besideBefore(lab: Lab, peers: readonly Peer[]): Promise<Row[]> {
  const two = peers.filter(({ name }) => name === 'broker' || name === 'before')
  const measure = (peer: Peer) => load(lab, peer, lab.seconds)
  const rounds = await sideBySide(lab, 'P1', two, measure, ({ perSecond }) => `${Math.round(perSecond)}/s`)
  const speeds = (name: string) => rounds.all(name, ({ perSecond }) => perSecond)
  const costs = (name: string) => rounds.all(name, ({ cpuMicros = Number.NaN }) => cpuMicros)
  return [
    ratioRow('calls/s side by side, times before', speeds('broker'), speeds('before'), { least: 0.98 }),
    ratioRow('CPU a call side by side, times before', costs('broker'), costs('before'), { most: 1.02 }),
  ]
}
