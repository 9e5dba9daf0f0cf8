import t from 'tap'
import type { Broker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { CONFIGS, create, KEYS, keyConfig, start } from './fixtures/management.ts'

/** Names, page by page. */
async function walk(broker: Broker, path: string, query: string): Promise<string[][]> {
  const pages: string[][] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const answer: Record<string, never> = (await broker.admin('GET', `${path}?${query}&cursor=${cursor}`))
      .body
    const items: readonly { readonly name: string }[] = answer['items'] ?? []
    pages.push(items.map(({ name }) => name))
    cursor = answer['next_cursor'] ?? null
  }
  return pages
}

onEachDatabase(t, 'from first to last, in any order', async (t, database) => {
  const broker = await start(t, database)
  const names = ['e 5', 'a 1', 'd 4', 'c 3', 'b 2']
  for (const name of names) {
    await create(broker, keyConfig(name, { is_active: name < 'd' }))
    await broker.admin('POST', KEYS, { name })
    await new Promise((resolve) => setTimeout(resolve, 2)) // another millisecond, by which they are told apart
  }
  for (const path of [CONFIGS, KEYS]) {
    t.same(await walk(broker, path, 'page_size=2'), [['e 5', 'a 1'], ['d 4', 'c 3'], ['b 2']])
    t.same(await walk(broker, path, 'page_size=2&sort=-created_at'), [
      ['b 2', 'c 3'],
      ['d 4', 'a 1'],
      ['e 5'],
    ])
    t.same(await walk(broker, path, 'page_size=5'), [names], 'no empty page at the end')
    t.same(await walk(broker, path, 'q=nobody'), [[]])
  }
  t.same(await walk(broker, CONFIGS, 'page_size=3&sort=name'), [
    ['a 1', 'b 2', 'c 3'],
    ['d 4', 'e 5'],
  ])
  t.same(await walk(broker, CONFIGS, 'page_size=2&sort=name&is_active=true'), [['a 1', 'b 2'], ['c 3']])
  t.match((await broker.admin('GET', `${CONFIGS}?cursor=`)).body, {
    ...{ total: 5, page: 1, page_size: 20, next_cursor: null },
    items: Array(5).fill({}),
  })
})

onEachDatabase(t, 'what was done, newest first, while more is done', async (t, database) => {
  const broker = await start(t, database)
  for (let n = 0; n < 7; n += 1) await broker.admin('POST', KEYS, { name: `${n}` })
  const idsOf = (items: readonly { readonly id: string }[]) => items.map(({ id }) => id)
  const all = idsOf((await broker.admin('GET', '/api/audit?type=key')).body.items)
  t.equal(all.length, 7)
  const seen: string[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const path: string = `/api/audit?type=key&page_size=3&cursor=${cursor}`
    const { total, items, next_cursor } = (await broker.admin('GET', path)).body
    t.equal(total, 7)
    seen.push(...idsOf(items))
    cursor = next_cursor
    await broker.admin('POST', KEYS, { name: 'meanwhile' })
  }
  t.same(seen, all)
})

onEachDatabase(t, 'keys are all there unless something is asked for', async (t, database) => {
  const broker = await start(t, database)
  for (const name of ['App 1', 'app 2', 'other']) await broker.admin('POST', KEYS, { name })
  const list = async (query: string) => {
    const { items, ...others } = (await broker.admin('GET', `${KEYS}${query}`)).body
    return { ...others, names: items.map(({ name }: { name: string }) => name) }
  }
  t.same(await list(''), { total: 3, names: ['App 1', 'app 2', 'other'] })
  const first = { page: 1, page_size: 20 }
  t.same(await list('?page=1'), { total: 3, ...first, names: ['App 1', 'app 2', 'other'] })
  t.same(await list('?page=2&page_size=2'), { total: 3, page: 2, page_size: 2, names: ['other'] })
  t.same(await list('?page=3&page_size=2'), { total: 3, page: 3, page_size: 2, names: [] })
  t.same(await list('?sort=-created_at&page_size=1'), { total: 3, page: 1, page_size: 1, names: ['other'] })
  t.same(await list('?q=APP'), { total: 2, ...first, names: ['App 1', 'app 2'] })
  t.same(await list('?q=%25'), { total: 0, ...first, names: [] }, '% is itself')
})

onEachDatabase(t, 'accounts are found by their ids, and by names in any script', async (t, database) => {
  const broker = await start(t, database)
  const made = []
  for (const name of ['研究 É', 'other', 'third']) made.push(await create(broker, keyConfig(name)))
  const names = async (query: string) =>
    (await broker.admin('GET', `${CONFIGS}?${query}`)).body.items.map(({ name }: { name: string }) => name)
  await broker.admin('DELETE', `${CONFIGS}/${made[2].id}`)
  t.same(await names(`id=${made[1].id},nobody,${made[0].id},${made[2].id}`), ['研究 É', 'other'])
  for (const part of ['研', '究 É', 'O', ''])
    t.ok((await names(`q=${encodeURIComponent(part)}`)).length > 0, part)
  t.same(await names(`q=${encodeURIComponent('É')}`), ['研究 É'])
})

onEachDatabase(t, 'a cursor that does not fit is refused, and said so', async (t, database) => {
  const broker = await start(t, database)
  for (const name of ['a', 'b', 'c']) {
    await create(broker, keyConfig(name))
    await broker.admin('POST', KEYS, { name })
  }
  for (const path of [CONFIGS, KEYS]) {
    const { next_cursor: cursor } = (await broker.admin('GET', `${path}?page_size=1&cursor=`)).body
    const parts = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    const madeUp = (...values: unknown[]) => Buffer.from(JSON.stringify(values)).toString('base64url')
    const refused = [
      `cursor=${cursor}&q=a`,
      `cursor=${cursor}&sort=-created_at`,
      `cursor=${cursor}&page=2`,
      'cursor=&page=1',
      'cursor=x',
      `cursor=${cursor.slice(1)}`,
      `cursor=${'x'.repeat(5_000)}`,
      `cursor=${madeUp('mark', ...parts.slice(1))}`,
      `cursor=${madeUp(parts[0])}`,
      `cursor=${madeUp(parts[0], -1, 2, 1, 'a')}`,
      `cursor=${madeUp(...parts.slice(0, 3), { a: 1 }, null)}`,
    ]
    for (const query of refused)
      t.match(
        await broker.admin('GET', `${path}?${query}`),
        { status: 422, body: { code: 'invalid_request', message: /cursor/, detail: /cursor/ } },
        query.slice(0, 60),
      )
    // Made up so that they fit: whatever they say, somebody gets rows of a list that is theirs anyway.
    for (const values of [
      ['a'],
      ['a', 1, 'b'],
      [1.5],
      [Number.MAX_SAFE_INTEGER, 'x'.repeat(2_000)],
      ['é', '😀'],
      [1, '\ud800'],
      [1, '\0'],
    ])
      t.ok(
        (await broker.admin('GET', `${path}?cursor=${madeUp(...parts.slice(0, 3), ...values)}`)).status < 500,
      )
    t.equal((await broker.admin('GET', `${path}?page_size=2&cursor=${cursor}`)).body.items.length, 2)
  }
  t.match(await broker.admin('GET', `${CONFIGS}?cursor=&sort=state`), {
    status: 422,
    body: { message: /states/ },
  })
})
