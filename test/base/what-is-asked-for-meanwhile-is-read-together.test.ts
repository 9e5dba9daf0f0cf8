/** Thousands who each want a row: few queries, in their order, and none that began before it was asked for. */
import t from 'tap'
import { ReadTogether } from '../../src/base/read-together.ts'

const settled = () => new Promise((resolve) => setImmediate(resolve))

function readsOf(atOnce: number, most: number) {
  const begun: { keys: readonly string[]; end: (error?: Error) => Promise<unknown> }[] = []
  let version = 0
  const together = new ReadTogether<string, string>({
    atOnce,
    most,
    read: (keys) =>
      new Promise((resolve, reject) => {
        const found = new Map(keys.filter((key) => key !== 'none').map((key) => [key, `${key} ${version}`]))
        const end = (error?: Error) => {
          if (error) reject(error)
          else resolve(found)
          return settled()
        }
        begun.push({ keys, end })
      }),
  })
  const change = () => {
    version += 1
  }
  return { together, begun, change }
}

t.test('one is read at once, and alone', async (t) => {
  const { together, begun } = readsOf(2, 10)
  const one = together.get('a')
  t.same(begun[0]?.keys, ['a'])
  await begun[0]?.end()
  t.equal(await one, 'a 0')
})

t.test('what comes while all reads are under way is read together, in its order', async (t) => {
  const { together, begun } = readsOf(2, 3)
  const answers = ['a', 'b', 'c', 'd', 'none', 'e', 'f'].map((key) => together.get(key))
  t.same(
    begun.map(({ keys }) => keys),
    [['a'], ['b']],
  )
  await begun[1]?.end()
  await begun[0]?.end()
  t.same(
    begun.slice(2).map(({ keys }) => keys),
    [
      ['c', 'd', 'none'],
      ['e', 'f'],
    ],
  )
  for (const { end } of begun) await end()
  t.same(await Promise.all(answers), ['a 0', 'b 0', 'c 0', 'd 0', undefined, 'e 0', 'f 0'])
})

t.test('who asks while its row is being read gets what is so afterwards', async (t) => {
  const { together, begun, change } = readsOf(1, 10)
  const before = together.get('a')
  change()
  const after = [together.get('a'), together.get('a')]
  await begun[0]?.end()
  t.same(begun[1]?.keys, ['a'])
  await begun[1]?.end()
  t.equal(await before, 'a 0')
  t.same(await Promise.all(after), ['a 1', 'a 1'])
})

t.test('a read that fails is told to those whose it was, and the next goes on', async (t) => {
  const { together, begun } = readsOf(1, 10)
  const [first, second] = [together.get('a'), together.get('b')]
  first.catch(() => {})
  await begun[0]?.end(new Error('away'))
  await t.rejects(first, { message: 'away' })
  await begun[1]?.end()
  t.equal(await second, 'b 0')
})
