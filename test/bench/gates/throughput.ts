/**
 * P1: calls a second of 1 kB each, 32 connections, one process; the full path at default settings.
 */
import type { Findings, Gate, Lab } from '../lab.ts'
import { CONNECTIONS, describeLoads, load, throughputs } from '../load.ts'
import { bareProxy, bareRelay, before, broker, direct, nginxProxy, portkey } from '../peers.ts'
import { besideBefore, ratioRow } from '../rounds.ts'
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
          : await besideBefore(lab, 'P1', peers, {
              what: 'call',
              measure: (peer) => load(lab, peer, lab.seconds),
              perSecond: ({ perSecond }) => perSecond,
              cpuMicros: ({ cpuMicros = Number.NaN }) => cpuMicros,
            })),
        ratioRow('calls/s, times nginx', ours, speeds('nginx'), { least: 0.25 }),
      ],
      notes: rounds.names().map((name) => describeLoads(rounds, name)),
    }
  },
}
