/** What whoever makes configs calls them: the id of one of their own users, for one. */
import t from 'tap'
import { onEachDatabase } from '../support/databases.ts'
import { CONFIGS, create, keyConfig, start } from './fixtures/management.ts'

const foundBy = (external_id: string) => `${CONFIGS}?external_id=${encodeURIComponent(external_id)}`

onEachDatabase(t, 'unique while it is set, and free again once its config is gone', async (t, database) => {
  const broker = await start(t, database)
  const plain = await create(broker, keyConfig('plain'))
  await create(broker, keyConfig('plain too'))
  t.equal(plain.external_id, null, 'many have none')
  const mine = await create(broker, keyConfig('a', { external_id: 'user/42 用户' }))
  t.equal(mine.external_id, 'user/42 用户')
  const other = await create(broker, keyConfig('b', { external_id: 'USER/42 用户' }))

  const found = await broker.admin('GET', foundBy('user/42 用户'))
  t.match(found.body, { total: 1, items: [{ id: mine.id, external_id: 'user/42 用户' }] })
  t.equal((await broker.admin('GET', foundBy('user/4'))).body.total, 0, 'not by a part of it')

  const taken = {
    status: 409,
    body: { code: 'external_id_taken', detail: /external_id/, message: /external_id/ },
  }
  t.match(await broker.admin('POST', CONFIGS, keyConfig('c', { external_id: 'user/42 用户' })), taken)
  t.match(await broker.admin('PUT', `${CONFIGS}/${other.id}`, { external_id: 'user/42 用户' }), taken)
  t.match(
    await broker.admin('POST', CONFIGS, keyConfig('a', { external_id: 'user/43' })),
    { status: 409, body: { code: 'name_taken' } },
    'the name is told apart',
  )
  const racers = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      broker.admin('POST', CONFIGS, keyConfig(`racer ${index}`, { external_id: 'one of us' })),
    ),
  )
  t.same(racers.map(({ status }) => status).sort(), [201, ...Array(7).fill(409)])

  await broker.admin('DELETE', `${CONFIGS}/${mine.id}`)
  const again = await broker.admin('PUT', `${CONFIGS}/${other.id}`, { external_id: 'user/42 用户' })
  t.match(again, { status: 200, body: { external_id: 'user/42 用户' } })
  const [last] = (await broker.admin('GET', `/api/audit?config_id=${other.id}`)).body.items
  t.match(last.details, { from: { external_id: 'USER/42 用户' }, to: { external_id: 'user/42 用户' } })
  t.match(await broker.admin('PUT', `${CONFIGS}/${other.id}`, { name: 'renamed' }), {
    body: { external_id: 'user/42 用户' },
  })
  t.match(await broker.admin('PUT', `${CONFIGS}/${other.id}`, { external_id: null }), {
    body: { external_id: null },
  })
  t.equal((await broker.admin('GET', foundBy('user/42 用户'))).body.total, 0)
})

t.test('what is none', async (t) => {
  const broker = await start(t)
  for (const external_id of ['', ' ', ' a', 'a ', 'a\nb', 'x'.repeat(256), 7]) {
    const answer = await broker.admin('POST', CONFIGS, keyConfig('a', { external_id }))
    t.match(answer, { status: 422, body: { message: /external_id/ } }, JSON.stringify(external_id))
  }
  t.equal((await broker.admin('GET', `${CONFIGS}?external_id=`)).status, 422)
  for (const [index, external_id] of ['x'.repeat(255), 'a b', '7', '🙂', 'ünï'].entries())
    t.equal((await create(broker, keyConfig(`${index}`, { external_id }))).external_id, external_id)
})
