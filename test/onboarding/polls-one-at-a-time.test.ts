import t from 'tap'
import { openStage } from '../seed/stage.ts'
import { call } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'

onEachDatabase(t, 'however many ask at two brokers, one poll is under way', async (t, db) => {
  const { broker, deviceCode, status, replica } = await openStage(t, db)
  const other = await replica()
  const { session_id } = (await deviceCode()).body
  broker.sandbox.faults.next('token', { delayMs: 500 })
  const there = `${other.origin}/api/qwen/oauth/status?session_id=${session_id}`
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, i) => (i % 2 ? status(`session_id=${session_id}`) : call(there, 'GET'))),
  )
  t.equal(answers.filter(({ body }) => body.status === 'pending').length, 30)
  t.equal(broker.sandbox.counts.devicePolls, 1)
})

onEachDatabase(t, 'a poll is made no sooner than the interval after the last one ended', async (t, db) => {
  const { broker, deviceCode, status } = await openStage(t, db, { sandbox: { interval: 0.4 } })
  const startedAt = Date.now()
  const { session_id } = (await deviceCode()).body
  const answers = new Set<string>()
  let polls = 0
  let polledAt = startedAt
  let tooLate = 0
  while (polls < 3) {
    const sentAt = Date.now()
    answers.add((await status(`session_id=${session_id}`)).body.status)
    if (broker.sandbox.counts.devicePolls > polls) {
      polls = broker.sandbox.counts.devicePolls
      polledAt = Date.now()
    } else if (sentAt - polledAt > 1_100) tooLate += 1
  }
  t.equal(tooLate, 0, 'who asks after the interval is answered by a poll')
  t.same([...answers], ['pending'])
  const ms = Date.now() - startedAt
  t.ok(
    polls - 1 <= ms / 1_000,
    `${polls} polls in ${ms} ms, one a second after the first, however short the interval`,
  )
})

onEachDatabase(t, 'a poll keeps others off for longer than it may take', async (t, db) => {
  const { broker, deviceCode, status, session } = await openStage(t, db, { refresh: { timeout_seconds: 25 } })
  const { session_id } = (await deviceCode()).body
  broker.sandbox.faults.next('token', { delayMs: 500 })
  const poll = status(`session_id=${session_id}`)
  await waitUntil(() => broker.sandbox.counts.devicePolls === 1)
  const claimedFor = Number((await session(session_id))?.next_poll_at) - Date.now()
  t.ok(claimedFor > 25_000, `${claimedFor} ms`)
  t.equal((await poll).body.retry_after, 1_000)
})

onEachDatabase(t, 'any broker can answer for a session of another', async (t, db) => {
  const { broker, deviceCode, replica } = await openStage(t, db)
  const other = await replica()
  const { session_id, user_code } = (await deviceCode()).body
  await broker.sandbox.approve(user_code)
  const answer = await call(`${other.origin}/api/qwen/oauth/status?session_id=${session_id}`, 'GET')
  t.match(answer.body, { status: 'success', token: { access_token: String } })
})
