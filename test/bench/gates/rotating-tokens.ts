/**
 * P4: tokens that rotate every two seconds while calls come in, against tokens that do not, in the same broker.
 */
import type { Findings, Gate, Lab } from '../lab.ts'
import { capacityOf, openLoad } from '../load.ts'
import { ROTATION_SECONDS, startRotation } from '../rotation.ts'
import { inRounds, ratioRow } from '../rounds.ts'

/** So little that client, broker and sandbox have room on two cores; else p99 tells how long calls queue for one. */
const SHARE_OF_CAPACITY = 0.1
const WARM_UP_SECONDS = 1
/** Of a round: several rotations, or there is nothing to see. */
const MIN_SECONDS = 6

export const rotatingTokens: Gate = {
  id: 'P4',
  title: `tokens rotate every ${ROTATION_SECONDS} s under load, open loop at ${100 * SHARE_OF_CAPACITY} % of capacity`,
  async run(lab: Lab): Promise<Findings> {
    const { rotating, steady, counts } = await startRotation(lab)
    const perSecond = Math.round(SHARE_OF_CAPACITY * (await capacityOf(lab, steady)))
    const seconds = Math.max(MIN_SECONDS, 2 * lab.seconds)
    lab.say(`P4 ${perSecond} calls/s, rounds of ${seconds} s`)
    const before = await counts()
    // Also of measurements that are made again: what failed has failed.
    let calls = 0
    let failed = 0
    const problems: string[] = []
    const rounds = await inRounds(
      lab,
      'P4 p99',
      [steady, rotating],
      async (peer) => {
        const result = await openLoad(peer, { perSecond, seconds, warmUpSeconds: WARM_UP_SECONDS })
        calls += result.calls
        failed += result.failed
        problems.push(...result.problems.map((problem) => `${peer.name}: ${problem}`))
        return result
      },
      ({ p99 }) => `${p99.toFixed(2)} ms`,
    )
    const { refreshRequests, refreshGrants, reusesDetected, familiesRevoked, unauthorized } = await counts()
    const rotations = refreshGrants - before.refreshGrants
    const expected = Math.floor((lab.rounds * seconds) / ROTATION_SECONDS)
    const p99s = (name: string) => rounds.all(name, ({ p99 }) => p99)
    return {
      rows: [
        ratioRow('p99, times the p99 without rotation', p99s('rotating'), p99s('steady'), { most: 1.15 }),
        {
          what: `calls failed, of ${calls}`,
          figure: String(failed),
          required: '0',
          reached: failed === 0,
        },
        {
          what: 'rotations; families revoked',
          figure: `${rotations}; ${familiesRevoked}`,
          required: `>= ${expected}; 0`,
          reached: rotations >= expected && familiesRevoked === 0,
        },
      ],
      notes: [
        `${perSecond} calls/s`,
        ...rounds
          .names()
          .map((name) =>
            (['p50', 'p99', 'worst'] as const).reduce(
              (text, figure) =>
                `${text} ${figure} ${rounds.median(name, (result) => result[figure]).toFixed(2)} ms`,
              `${name}:`,
            ),
          ),
        `authorization server: ${refreshRequests} refresh requests, ${refreshGrants} granted, ${reusesDetected} reuses; model endpoint: ${unauthorized} calls with a dead token, sent again`,
        ...(problems.length === 0 ? [] : [`failed: ${problems.join(', ')}`]),
      ],
    }
  },
}
