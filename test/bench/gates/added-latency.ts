/**
 * P3: what a call takes longer than without anybody in between, at 30 % of what the broker can do, open loop.
 */
import { type Findings, type Gate, type Lab, PeerFailed } from '../lab.ts'
import { capacityOf, flawlessOpenLoad } from '../load.ts'
import { bareProxy, bareRelay, broker, direct, nginxProxy, verify } from '../peers.ts'
import { inRounds, ratioRow } from '../rounds.ts'
import { median } from '../statistics.ts'
import { startStaticUpstream } from '../upstreams.ts'

const SHARE_OF_CAPACITY = 0.3
const WARM_UP_SECONDS = 1
/** A client that is late itself measures itself. */
const MAX_LAG_MS = 5

export const addedLatency: Gate = {
  id: 'P3',
  title: 'latency added over direct, open loop at 30 % of capacity',
  async run(lab: Lab): Promise<Findings> {
    const upstream = await startStaticUpstream(lab)
    const ours = await broker(lab, upstream)
    const peers = [
      direct(upstream),
      ...(lab.hasNginx ? [await nginxProxy(lab, upstream)] : []),
      ours,
      await bareProxy(upstream),
      await bareRelay(upstream),
    ]
    for (const peer of peers) {
      await verify(peer)
      if (peer !== ours) await capacityOf(lab, peer)
    }
    const capacity = await capacityOf(lab, ours)
    const perSecond = Math.round(SHARE_OF_CAPACITY * capacity)
    lab.say(`P3 ${perSecond} calls/s, 30 % of ${Math.round(capacity)}`)
    const rounds = await inRounds(
      lab,
      'P3 p50/p99',
      peers,
      (peer) => flawlessOpenLoad(peer, { perSecond, seconds: lab.seconds, warmUpSeconds: WARM_UP_SECONDS }),
      ({ p50, p99 }) => `${p50.toFixed(2)}/${p99.toFixed(2)} ms`,
    )
    const lag = median(rounds.names().map((name) => rounds.median(name, ({ lagP99 }) => lagP99)))
    if (lag > MAX_LAG_MS) throw new PeerFailed(`the client was ${lag.toFixed(1)} ms late itself (p99)`)
    /** Over direct, in the same round. */
    const added = (name: string, figure: 'p50' | 'p99') => {
      const base = rounds.all('direct', (result) => result[figure])
      return rounds
        .all(name, (result) => result[figure])
        .map((value, round) => value - (base[round] ?? Number.NaN))
    }
    return {
      rows: [
        ratioRow("added p50, times nginx's", added('broker', 'p50'), added('nginx', 'p50'), { most: 2 }),
        ratioRow("added p99, times bare http-proxy's", added('broker', 'p99'), added('http-proxy', 'p99'), {
          most: 1.5,
        }),
      ],
      notes: [
        `${perSecond} calls/s; p99 of the client's own lag ${lag.toFixed(2)} ms`,
        ...rounds
          .names()
          .map(
            (name) =>
              `${name}: p50 ${rounds.median(name, ({ p50 }) => p50).toFixed(3)} ms, p99 ${rounds.median(name, ({ p99 }) => p99).toFixed(3)} ms`,
          ),
      ],
    }
  },
}
