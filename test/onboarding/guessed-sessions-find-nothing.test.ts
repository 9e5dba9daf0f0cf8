import { randomBytes } from 'node:crypto'
import t from 'tap'
import { openStage } from '../seed/stage.ts'
import { onEachDatabase } from '../support/databases.ts'

/** 100,000 take minutes: set GUESSES for that. */
const GUESSES = Number(process.env['GUESSES'] ?? 1_000)
const AT_ONCE = 50

onEachDatabase(t, 'ids and device codes that look right find nothing', async (t, db) => {
  const { broker, deviceCode, status, logIn } = await openStage(t, db)
  await deviceCode()
  await logIn()
  const statuses = new Map<number, number>()
  const guess = async (i: number) => {
    const query = i % 2 ? 'session_id' : 'device_code'
    const answer = await status(`${query}=${randomBytes(i % 2 ? 24 : 32).toString('base64url')}`)
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
  }
  for (let done = 0; done < GUESSES; done += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => guess(done + i)))
  }
  t.same(Object.fromEntries(statuses), { 400: GUESSES / 2, 404: GUESSES / 2 })
  t.equal(broker.sandbox.counts.devicePolls, 1, 'none of them reached the server')
})
