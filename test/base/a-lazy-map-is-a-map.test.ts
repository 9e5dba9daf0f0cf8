import t from 'tap'
import { LazyMap } from '../../src/base/lazy-map.ts'

function mapOf(made: string[]): LazyMap<string, string> {
  const map = new LazyMap<string, string>()
  map.set('a', 'A')
  map.setLater('b', () => {
    made.push('b')
    return 'B'
  })
  map.set('c', 'C')
  return map
}

const WHOLE = [
  ['a', 'A'],
  ['b', 'B'],
  ['c', 'C'],
]

t.test('a value is made when it is asked for, once, and in its place', async (t) => {
  const made: string[] = []
  const map = mapOf(made)
  t.same([map.size, map.has('b'), [...map.keys()]], [3, true, ['a', 'b', 'c']])
  t.same(map.made(), ['A', 'C'])
  t.same([map.get('c'), map.get('nobody'), made], ['C', undefined, []])
  t.same([map.get('b'), map.get('b'), made], ['B', 'B', ['b']])
  t.same([[...map], map.made()], [WHOLE, ['A', 'B', 'C']])
})

t.test('whoever goes through all of it finds all of it', async (t) => {
  const ways: ((map: LazyMap<string, string>) => unknown)[] = [
    (map) => [...map],
    (map) => [...map.entries()],
    (map) => [...new Map(map)],
    (map) => [...map.values()].map((value) => [value.toLowerCase(), value]),
    (map) => {
      const found: unknown[] = []
      map.forEach((value, key) => {
        found.push([key, value])
      })
      return found
    },
  ]
  for (const way of ways) t.same(way(mapOf([])), WHOLE)
})
