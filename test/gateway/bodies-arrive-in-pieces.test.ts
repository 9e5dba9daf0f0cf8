import fc from 'fast-check'
import t from 'tap'
import { Pieces } from '../../src/gateway/pieces.ts'

t.test('however it is cut, it is the same body', async (t) => {
  const sizes = fc.array(fc.oneof(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 0, max: 70_000 })), {
    maxLength: 40,
  })
  const property = fc.property(sizes, fc.boolean(), (cuts, looksBetween) => {
    const pieces = new Pieces()
    const given = cuts.map((size, index) => Buffer.alloc(size, index + 1))
    for (const piece of given) {
      pieces.push(piece)
      if (looksBetween) pieces.whole()
    }
    return pieces.whole().equals(Buffer.concat(given))
  })
  const run = fc.check(property, { numRuns: 300 })
  t.equal(run.failed, false, JSON.stringify(run.counterexample))
})

t.test('a body that comes byte by byte takes little more than its size', async (t) => {
  const before = process.memoryUsage()
  const pieces = new Pieces()
  for (let n = 0; n < 2 * 1024 * 1024; n += 1) pieces.push(Buffer.from('a'))
  const { heapUsed, external } = process.memoryUsage()
  const grown = heapUsed + external - before.heapUsed - before.external
  t.equal(pieces.whole().length, 2 * 1024 * 1024)
  t.ok(grown < 64 * 1024 * 1024, `${Math.round(grown / 1024)} KiB`) // as an object each it was more than 400 MiB
})
