import t from 'tap'
import { createLog } from '../../src/base/log.ts'
import { WriteBehind } from '../../src/storage/write-behind.ts'

t.test('what cannot be written waits behind all others, and only its last note counts', async (t) => {
  const written: (readonly [string, number])[] = []
  let locked: string | undefined = 'b'
  const late = new WriteBehind<number>({
    what: 'a number',
    atOnce: 1,
    log: createLog('silent'),
    write: async (notes) => {
      if (notes.some(([id]) => id === locked)) throw new Error('locked')
      written.push(...notes)
    },
  })
  for (const [index, id] of ['a', 'b', 'c', 'd'].entries()) late.note(id, index)
  await late.flush()
  await late.flush()
  t.same(written, [
    ['a', 0],
    ['c', 2],
    ['d', 3],
  ])
  late.note('b', 7)
  late.note('a', 8)
  locked = undefined
  await Promise.all([late.flush(), late.stop()])
  t.same(written.slice(3), [
    ['b', 7],
    ['a', 8],
  ])
})
