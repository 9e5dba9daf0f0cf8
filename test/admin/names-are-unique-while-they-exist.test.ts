import t from 'tap'
import { onEachDatabase } from '../support/databases.ts'
import { CONFIGS, create, keyConfig, start } from './fixtures/management.ts'

const TAKEN = { status: 409, body: { code: 'name_taken', detail: '名称已存在', message: /already in use/ } }

onEachDatabase(
  t,
  'a name that is taken is refused, in capital letters it is another',
  async (t, database) => {
    const broker = await start(t, database)
    const { id } = await create(broker, keyConfig('Ab'))
    t.match(await broker.admin('POST', CONFIGS, keyConfig('Ab')), TAKEN)
    const other = await create(broker, keyConfig('aB'))
    t.match(await broker.admin('PUT', `${CONFIGS}/${other.id}`, { name: 'Ab' }), TAKEN)
    t.equal(
      (await broker.admin('PUT', `${CONFIGS}/${id}`, { name: 'Ab' })).status,
      200,
      'its own name is free for it',
    )
    t.equal((await broker.admin('GET', CONFIGS)).body.total, 2)
  },
)

onEachDatabase(t, 'of many that want one name at once, one gets it', async (t, database) => {
  const broker = await start(t, database)
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => broker.admin('POST', CONFIGS, keyConfig('wanted'))),
  )
  const statuses = answers.map(({ status }) => status).sort()
  t.same(statuses, [201, ...Array(19).fill(409)])
  t.equal((await broker.admin('GET', CONFIGS)).body.total, 1)
})

onEachDatabase(t, 'a name is free again once its config is deleted or renamed', async (t, database) => {
  const broker = await start(t, database)
  for (let round = 0; round < 3; round += 1) {
    const { id } = await create(broker, keyConfig('again'))
    t.equal((await broker.admin('DELETE', `${CONFIGS}/${id}`)).status, 204)
  }
  const { id } = await create(broker, keyConfig('again'))
  await broker.admin('PUT', `${CONFIGS}/${id}`, { name: 'moved' })
  t.ok((await create(broker, keyConfig('again'))).id)
})
