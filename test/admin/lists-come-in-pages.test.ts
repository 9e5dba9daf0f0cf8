import t from 'tap'
import { onEachDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { CONFIGS, create, keyConfig, oauthConfig, start } from './fixtures/management.ts'

onEachDatabase(t, 'oldest first, page by page, without gap or repetition', async (t, database) => {
  const broker = await start(t, database)
  const names = Array.from({ length: 23 }, (_, index) => `config ${index}`)
  for (const name of names) await create(broker, keyConfig(name))
  const page = async (query: string) => (await broker.admin('GET', `${CONFIGS}${query}`)).body
  const first = await page('')
  t.match(first, { total: 23, page: 1, page_size: 20 })
  t.equal(first.items.length, 20)
  const seen: string[] = []
  for (let number = 1; number <= 6; number += 1) {
    const { total, items } = await page(`?page=${number}&page_size=5`)
    t.equal(total, 23)
    t.equal(items.length, number < 5 ? 5 : number === 5 ? 3 : 0)
    seen.push(...items.map((item: { name: string }) => item.name))
  }
  t.same([...seen].sort(), [...names].sort())
  t.equal((await page('?page_size=100')).items.length, 23)
})

onEachDatabase(t, 'by provider and by whether they are active', async (t, database) => {
  const broker = await start(t, database)
  await create(broker, keyConfig('a'))
  await create(broker, keyConfig('b', { is_active: false }))
  await create(broker, oauthConfig('c'))
  const gone = await create(broker, keyConfig('d'))
  await broker.admin('DELETE', `${CONFIGS}/${gone.id}`)
  const found = async (query: string) => {
    const { body } = await broker.admin('GET', `${CONFIGS}?${query}`)
    t.equal(body.total, body.items.length)
    return body.items.map((item: { name: string }) => item.name).sort()
  }
  t.same(await found(''), ['a', 'b', 'c'], 'deleted ones are not listed')
  t.same(await found('provider=openai'), ['a', 'b'])
  t.same(await found('provider=qwen'), ['c'])
  t.same(await found('provider=nobody'), [])
  t.same(await found('is_active=true'), ['a', 'c'])
  t.same(await found('is_active=false'), ['b'])
  t.same(await found('is_active=false&provider=openai'), ['b'])
  t.same(await found('is_active=false&provider=qwen'), [])
})

t.test('what is no page is 422', async (t) => {
  const broker = await start(t)
  const pages = ['page=0', 'page=-1', 'page=x', 'page=', 'page=1.5', 'page=1&page=2']
  const odd = [...pages, 'page_size=0', 'page_size=101', 'page_size=9.9', 'is_active=2']
  for (const query of odd) {
    const answer = await broker.admin('GET', `${CONFIGS}?${query}`)
    t.match(
      answer,
      { status: 422, body: { code: 'invalid_request', message: new RegExp(query.split('=')[0] ?? '') } },
      query,
    )
  }
})

onEachDatabase(t, 'in the order asked for', async (t, database) => {
  const broker = await start(t, database)
  for (const name of ['b', 'c', 'a']) {
    await create(broker, keyConfig(name))
    await new Promise((resolve) => setTimeout(resolve, 2)) // another millisecond, by which they are told apart
  }
  const names = async (query: string) =>
    (await broker.admin('GET', `${CONFIGS}${query}`)).body.items.map(({ name }: { name: string }) => name)
  t.same(await names(''), ['b', 'c', 'a'])
  t.same(await names('?sort=created_at'), ['b', 'c', 'a'])
  t.same(await names('?sort=-created_at'), ['a', 'c', 'b'])
  t.same(await names('?sort=-created_at&page=2&page_size=2'), ['b'])
  t.same(await names('?sort=name'), ['a', 'b', 'c'])
  t.equal((await broker.admin('GET', `${CONFIGS}?sort=state`)).status, 200)
  t.equal((await broker.admin('GET', `${CONFIGS}?sort=provider`)).status, 422)
})

onEachDatabase(
  t,
  'the newest first is the oldest first backwards, as one index is read',
  async (t, database) => {
    const broker = await start(t, database)
    for (const name of ['b', 'c', 'a', 'd']) await create(broker, keyConfig(name))
    const rows = openTables(t, broker, database)
    await rows.run((db) => db.updateTable('model_configs').set({ created_at: 1 }).execute())
    const names = async (query: string) =>
      (await broker.admin('GET', `${CONFIGS}?${query}`)).body.items.map(({ name }: { name: string }) => name)
    t.same(await names('sort=-created_at'), (await names('sort=created_at')).reverse())
  },
)
