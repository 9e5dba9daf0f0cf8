/**
 * Whoever goes through a list by cursors sees each row once that was there all the time, in the order of the list,
 * whatever is added and removed between two pages, and wherever.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { type List, type Page, readPage } from '../../src/admin/pages.ts'
import { ApiKeyReader, positionOf } from '../../src/api-key/api-key-reader.ts'
import {
  type ConfigFilter,
  ModelConfigReader,
  positionIn,
} from '../../src/model-config/model-config-reader.ts'
import type { Database } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { configRow, open } from '../storage/fixtures/open.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'

interface Row {
  readonly id: string
  readonly name: string
  /** Of few, so that many share one. */
  readonly createdAt: number
  readonly isActive: boolean
}

interface Rows {
  clear(): Promise<unknown>
  add(rows: readonly Row[]): Promise<unknown>
  remove(id: string): Promise<unknown>
}

const NAMES = fc.uniqueArray(
  fc.string({
    unit: fc.constantFrom('a', 'B', 'b', 'é', '研', '😀', '_', '%', "'"),
    minLength: 1,
    maxLength: 4,
  }),
  { minLength: 12, maxLength: 40 },
)

/** A row for each name, in any order of age and id; what happens after each page. */
const STORIES = NAMES.chain((names) =>
  fc.record({
    rows: fc.tuple(...names.map(rowOf)).map(withIds),
    there: fc.integer({ min: 6, max: names.length }),
    pageSize: fc.integer({ min: 1, max: 7 }),
    steps: fc.array(fc.array(fc.nat(), { maxLength: 3 }), { maxLength: 12 }),
  }),
)

function rowOf(name: string) {
  return fc.record({
    name: fc.constant(name),
    place: fc.nat(),
    createdAt: fc.integer({ min: 1, max: 4 }),
    isActive: fc.boolean(),
  })
}

function withIds(rows: readonly (Omit<Row, 'id'> & { readonly place: number })[]): Row[] {
  return rows.map(({ place, ...row }, n) => ({ ...row, id: `${place}-${n}`.slice(-36) }))
}

type Story = typeof STORIES extends fc.Arbitrary<infer S> ? S : never

async function walk<R extends { readonly id: string }>(
  rows: Rows,
  list: List<R>,
  story: Story,
): Promise<void> {
  const { there, pageSize, steps } = story
  await rows.clear()
  await rows.add(story.rows.slice(0, there))
  const present = new Set(story.rows.slice(0, there).map(({ id }) => id))
  const coming = story.rows.slice(there)
  const atFirst = (await list.read({ skip: 0 }, 1_000)).map(({ id }) => id)
  const gone = new Set<string>()
  const seen: string[] = []
  const total = await list.count()
  let cursor: string | null | undefined = ''
  for (let page = 1; typeof cursor === 'string'; page += 1) {
    const answer: Page<R> = await readPage({ cursor, page_size: pageSize }, list)
    cursor = answer.next_cursor
    assert.deepEqual([answer.total, answer.page, answer.page_size], [total, page, pageSize])
    assert(cursor === null || answer.items.length === pageSize, 'pages are full')
    seen.push(...answer.items.map(({ id }) => id))
    for (const step of steps[page - 1] ?? []) {
      const next = step % 2 ? coming.pop() : undefined
      const leaving = [...present][step % present.size]
      if (next) {
        await rows.add([next])
        present.add(next.id)
      } else if (leaving !== undefined) {
        await rows.remove(leaving)
        present.delete(leaving)
        gone.add(leaving)
      }
    }
  }
  assert.equal(cursor, null)
  assert.equal(new Set(seen).size, seen.length, 'nobody twice')
  const stayed = atFirst.filter((id) => !gone.has(id))
  const seenOfThem = seen.filter((id) => stayed.includes(id))
  assert.deepEqual(seenOfThem, stayed, 'all that stayed, in their order')
}

const RUNS = { SQLite: 60, MySQL: 6 }

async function holds<R extends { readonly id: string }>(
  { kind }: TestDatabase,
  rows: Rows,
  list: List<R>,
): Promise<void> {
  const numRuns = RUNS[kind]
  await fc.assert(
    fc.asyncProperty(STORIES, (story) => walk(rows, list, story)),
    { numRuns },
  )
}

const ALL = {
  ids: undefined,
  provider: undefined,
  isActive: undefined,
  externalId: undefined,
  namePart: undefined,
  states: undefined,
}
const CONFIG_LISTS: readonly ConfigFilter[] = [
  { ...ALL, sort: 'created_at' },
  { ...ALL, sort: '-created_at' },
  { ...ALL, sort: 'name' },
  { ...ALL, sort: '-created_at', namePart: 'b' },
  { ...ALL, sort: 'name', namePart: 'b', isActive: true },
  { ...ALL, sort: 'created_at', isActive: false },
  { ...ALL, sort: '-created_at', states: ['active', 'missing'] },
]

onEachDatabase(t, 'accounts, in any order and however chosen', async (t, where) => {
  const database = open(t, where, t.testdir())
  await migrate(database)
  const reader = new ModelConfigReader(database)
  for (const filter of CONFIG_LISTS)
    await holds(where, configRows(database), {
      question: filter,
      count: () => reader.count(filter),
      read: (start, limit) => reader.list(filter, start, limit),
      positionOf: positionIn(filter.sort),
    })
})

onEachDatabase(t, 'keys, in any order', async (t, where) => {
  const database = open(t, where, t.testdir())
  await migrate(database)
  const reader = new ApiKeyReader(database)
  for (const sort of ['created_at', '-created_at'] as const)
    for (const namePart of [undefined, 'b']) {
      const filter = { namePart, sort }
      await holds(where, keyRows(database), {
        question: filter,
        count: () => reader.count(filter),
        read: (start, limit) => reader.list(filter, start, limit),
        positionOf: positionOf,
      })
    }
})

function configRows({ run }: Database): Rows {
  return {
    clear: () => run((db) => db.deleteFrom('model_configs').execute()),
    add: (rows) => run((db) => db.insertInto('model_configs').values(rows.map(toConfig)).execute()),
    remove: (id) =>
      run((db) =>
        db
          .updateTable('model_configs')
          .set({ deleted_at: 9, active_name: null })
          .where('id', '=', id)
          .execute(),
      ),
  }
}

function toConfig({ id, name, createdAt, isActive }: Row) {
  return configRow(name, { id, created_at: createdAt, is_active: isActive ? 1 : 0 })
}

function keyRows({ run }: Database): Rows {
  return {
    clear: () => run((db) => db.deleteFrom('api_keys').execute()),
    add: (rows) => run((db) => db.insertInto('api_keys').values(rows.map(toKey)).execute()),
    remove: (id) => run((db) => db.deleteFrom('api_keys').where('id', '=', id).execute()),
  }
}

function toKey({ id, name, createdAt: created_at }: Row) {
  return { id, name, key_hash: id, key_prefix: '', created_at, may_read_tokens: 0 }
}
