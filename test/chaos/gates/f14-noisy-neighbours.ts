/**
 * F14: one slow upstream and one flooding key beside everybody else's calls.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Gate } from '../lab.ts'
import { type Call, failuresOf, isFailed, Load, quantile, slowest } from '../load.ts'
import { ask, openWild, post, type WildScene } from './wild.ts'

const PER_SECOND = 100
/** Far over the flooding key's own limit. */
const FLOOD_PER_SECOND = 400
const FLOOD_LIMIT = 60
const HANGING = 200
const SETTLE_MS = 1_000
const TIMES = 2
/** Timers and garbage collection alone move a p99 by so much. */
const NOISE_MS = 5

export const noisyNeighbours: Gate = {
  id: 'F14',
  title: 'noisy neighbours',
  async run(lab) {
    const scene = await openWild(lab)
    const [key, flooding] = [
      await scene.createKey(),
      await scene.createKey({ requests_per_minute: FLOOD_LIMIT }),
    ]
    await calls(scene, key, 3)
    const rounds = lab.size(5, 2)
    const quiet: Call[] = []
    const noisy: Call[] = []
    for (let round = 1; round <= rounds; round += 1) {
      const past = new Load(FLOOD_PER_SECOND, () => pastTheBroker(scene, flooding))
      quiet.push(...(await calls(scene, key, 4)))
      await past.stop()
      const hanging = new AbortController()
      for (let i = 0; i < HANGING; i += 1) void hang(scene, key, hanging.signal)
      await sleep(SETTLE_MS) // they hang now; that they all came at once is not what is measured
      const flood = new Load(FLOOD_PER_SECOND, () => short(scene, flooding))
      noisy.push(...(await calls(scene, key, 4)))
      const flooded = await flood.stop()
      hanging.abort()
      lab.say(
        `round ${round}: ${flooded.filter(({ status }) => status === 429).length} of ${flooded.length} flooding calls refused`,
      )
    }
    const [before, after] = [quiet, noisy].map((all) =>
      quantile(
        all.map(({ ms }) => ms),
        0.99,
      ),
    ) as [number, number]
    const failed = noisy.filter(isFailed).length
    return [
      {
        what: `${HANGING} calls hang at a slow upstream and a key floods ${FLOOD_PER_SECOND}/s (limit ${FLOOD_LIMIT}/min), beside ${PER_SECOND} calls/s of others`,
        figure: `others' p99 ${after.toFixed(1)} ms against ${before.toFixed(1)} ms in peace, ${failed} of ${noisy.length} failed`,
        worst: `slowest ${Math.round(slowest(noisy))} ms against ${Math.round(slowest(quiet))} ms; failures ${failuresOf(noisy)}`,
        required: `p99 ≤ ${TIMES} ×, 0 failed`,
        reached: failed === 0 && after <= Math.max(TIMES * before, before + NOISE_MS),
      },
    ]
  },
}

async function calls(scene: WildScene, key: string, seconds: number): Promise<Call[]> {
  const load = new Load(PER_SECOND, () => short(scene, key))
  await sleep(seconds * 1000)
  return load.stop()
}

async function short(scene: WildScene, key: string) {
  const { status, text } = await ask(scene, key, 'well')
  return { status, body: JSON.parse(text) as Readonly<Record<string, unknown>> }
}

/** In peace the flood goes straight to upstream: this process, which sends and answers it, is as busy as in war. */
async function pastTheBroker({ upstream }: WildScene, key: string) {
  const answer = await post(upstream.origin, key, 'well')
  return { status: answer.statusCode, body: (await answer.body.json()) as Readonly<Record<string, unknown>> }
}

async function hang({ broker }: WildScene, key: string, signal: AbortSignal): Promise<void> {
  await post(broker.origin, key, 'hang', signal).catch(() => {})
}
