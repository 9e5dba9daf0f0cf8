/**
 * F10: upstream resets its connection before the head of an answer, or in the middle of a stream.
 */
import type { Gate, Row } from '../lab.ts'
import { ask, openWild, type WildScene } from './wild.ts'

const AT_ONCE = 20

type Ending = Awaited<ReturnType<typeof ask>>

export const upstreamResets: Gate = {
  id: 'F10',
  title: 'upstream resets',
  async run(lab) {
    const scene = await openWild(lab)
    const key = await scene.createKey()
    const calls = lab.size(1_000, 100)
    const rows = [
      await reset(scene, key, {
        user: 'reset before',
        calls,
        isGood: isBadGateway,
        must: '502 upstream_unreachable',
      }),
      await reset(scene, key, {
        user: 'reset after',
        calls,
        isGood: endsWithErrorEvent,
        must: 'an error event and the cut',
      }),
    ]
    const next = await ask(scene, key, 'well')
    lab.say(`the next good call: ${next.status}`)
    return rows.map((row) => ({ ...row, reached: row.reached && next.status === 200 }))
  },
}

interface Plan {
  readonly user: 'reset before' | 'reset after'
  readonly calls: number
  readonly isGood: (ending: Ending) => boolean
  readonly must: string
}

async function reset(scene: WildScene, key: string, { user, calls, isGood, must }: Plan): Promise<Row> {
  const endings: Ending[] = []
  let left = calls
  const one = async () => {
    while (left-- > 0) endings.push(await ask(scene, key, user))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, one))
  const retries = (scene.upstream.seen.get(user) ?? 0) - calls
  const bad = endings.filter((ending) => !isGood(ending))
  scene.lab.say(`${user}: ${retries} retries, ${bad.length} of ${calls} ended otherwise`)
  return {
    what: `${calls} × upstream resets ${user === 'reset before' ? 'before the head' : 'after the first event'}`,
    figure: `${retries} retries, ${calls - bad.length} ended with ${must}`,
    worst: bad[0] ? `${bad[0].status} ${bad[0].text.slice(-80)}` : 'none ended otherwise',
    required: `0 retries, all end with ${must}`,
    reached: retries === 0 && bad.length === 0 && endings.length === calls,
  }
}

function isBadGateway({ status, text, isCut }: Ending): boolean {
  return status === 502 && !isCut && text.includes('"upstream_unreachable"')
}

function endsWithErrorEvent({ status, text, isCut }: Ending): boolean {
  const last = text.trimEnd().split('\n\n').at(-1) ?? ''
  return status === 200 && isCut && /"code":"upstream_broken"/.test(last) && !text.includes('[DONE]')
}
