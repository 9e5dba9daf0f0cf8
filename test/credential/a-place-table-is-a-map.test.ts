/** Against a `Map`: whatever is set, deleted and cleared, in any order, and while it is gone through. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { type Place, PlaceTable } from '../../src/credential/place-table.ts'
import { Dice } from '../support/dice.ts'

const STEPS = 20_000
const files = ['a', 'b', 'c'].map((name) => ({ name, offset: 0, hasUnreadable: false }))

const isSamePlace = (a: Place | undefined, b: Place) =>
  a?.file === b.file &&
  a.offset === b.offset &&
  a.bytes === b.bytes &&
  a.loginAt === b.loginAt &&
  a.version === b.version

t.test('it holds what a map holds', async (t) => {
  const seed = Math.floor(Math.random() * 1e9)
  const dice = new Dice(seed)
  const ids = ['c', 'config', ...Array.from({ length: 1_000 }, () => randomUUID() as string)]
  const place = (): Place => ({
    file: dice.one(files),
    offset: dice.some(0, 2 ** 40),
    bytes: dice.some(1, 1e5),
    loginAt: dice.some(0, 2e12),
    version: dice.some(0, 1e6),
  })
  const [table, map] = [new PlaceTable(), new Map<string, Place>()]
  const isSame = () => {
    t.equal(table.size, map.size, `seed ${seed}`)
    const standings = [...map].map(([id, { loginAt, version }]) => [id, { loginAt, version }] as const)
    t.same(new Map(table), new Map(standings))
    for (const [id, place] of map) if (!isSamePlace(table.get(id), place)) t.fail(`${id}, seed ${seed}`)
    for (const id of ids) if (table.has(id) !== map.has(id)) t.fail(`${id}, seed ${seed}`)
    for (const file of files) {
      const places = [...map.values()].filter((one) => one.file === file)
      t.same(new Set(table.placesIn(file)), new Set(places), `seed ${seed}`)
      t.equal(
        table.bytesIn(file),
        places.reduce((sum, { bytes }) => sum + bytes, 0),
      )
    }
  }
  /** As one that was rewritten: another comes in its place. */
  const empty = (index: number) => {
    const [left] = files.splice(index, 1, {
      name: `file ${dice.some(0, 1e6)}`,
      offset: 0,
      hasUnreadable: false,
    })
    for (const [id, { file }] of map) {
      if (file !== left) continue
      table.delete(id)
      map.delete(id)
    }
    if (left) table.forgetFile(left)
  }
  for (let step = 0; step < STEPS; step += 1) {
    const [id, one] = [dice.one(ids), place()]
    if (dice.some(0, 2) > 0) {
      table.set(id, one)
      map.set(id, one)
    } else {
      table.delete(id)
      map.delete(id)
    }
    if (dice.some(0, 5_000) === 0) {
      table.clear()
      map.clear()
    }
    if (dice.some(0, 100) === 0) empty(dice.some(0, files.length - 1))
    if (step % 2_000 === 0) isSame()
    if (table.get(id)?.offset !== map.get(id)?.offset) t.fail(`seed ${seed}`)
  }
  isSame()
})

t.test('whoever goes through it sees all that stay, whatever comes and goes meanwhile', async (t) => {
  const table = new PlaceTable()
  const place: Place = {
    file: { name: 'a', offset: 0, hasUnreadable: false },
    offset: 1,
    bytes: 2,
    loginAt: 3,
    version: 4,
  }
  for (let n = 0; n < 500; n += 1) table.set(`c${n}`, place)
  const seen: string[] = []
  for (const [id] of table) {
    seen.push(id)
    if (seen.length === 100) for (let n = 0; n < 3_000; n += 1) table.set(`new${n}`, place)
    if (id.startsWith('c') && Number(id.slice(1)) % 2 === 0) table.delete(id)
  }
  for (let n = 0; n < 500; n += 1) t.equal(seen.filter((id) => id === `c${n}`).length, 1)
  t.equal(table.size, 3_250)
})
