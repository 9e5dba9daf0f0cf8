import t from 'tap'
import { BoundedMap } from '../../src/base/bounded-map.ts'

t.test('what was put in first goes first, and a new value is no new entry', async (t) => {
  const map = new BoundedMap<number>(2)
  map.set('a', 1)
  map.set('b', 2)
  map.set('a', 3)
  t.same([map.get('a'), map.get('b')], [3, 2])
  map.set('c', 4)
  t.same([map.get('a'), map.get('b'), map.get('c')], [undefined, 2, 4])
  map.delete('b')
  map.set('d', 5)
  t.same([map.get('c'), map.get('d')], [4, 5])
})
