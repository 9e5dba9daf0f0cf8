import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { SingleFlight } from '../../src/base/single-flight.ts'

/** Work whose ends are in the hands of the test. */
function workshop() {
  const begun: PromiseWithResolvers<string>[] = []
  const work = () => {
    const one = Promise.withResolvers<string>()
    begun.push(one)
    return one.promise
  }
  return { begun, work }
}

t.test('whoever asks for the same meanwhile gets the same; another key is another matter', async (t) => {
  const { begun, work } = workshop()
  const flights = new SingleFlight<string>()
  const first = flights.run('a', work)
  t.equal(flights.run('a', work), first)
  const other = flights.run('b', work)
  t.equal(begun.length, 2)
  begun[0]?.resolve('of a')
  begun[1]?.resolve('of b')
  t.same(await Promise.all([first, other]), ['of a', 'of b'])
})

t.test('once it is over, well or not, the next one begins anew', async (t) => {
  const { begun, work } = workshop()
  const flights = new SingleFlight<string>()
  const failing = [flights.run('a', work), flights.run('a', work)]
  begun[0]?.reject(new Error('lost'))
  for (const one of failing) await t.rejects(one, { message: 'lost' })
  const next = flights.run('a', work)
  begun[1]?.resolve('found')
  t.equal(await next, 'found')
  void flights.run('a', work)
  t.equal(begun.length, 3)
})

t.test('after clearing, an old one that ends does not end the new one', async (t) => {
  const { begun, work } = workshop()
  const flights = new SingleFlight<string>()
  const old = flights.run('a', work)
  flights.clear()
  const present = flights.run('a', work)
  begun[0]?.resolve('old')
  t.equal(await old, 'old')
  await setImmediate()
  t.equal(flights.run('a', work), present, 'still under way')
  t.equal(begun.length, 2)
})
