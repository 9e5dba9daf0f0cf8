import t from 'tap'
import { sleep, within } from '../../src/base/clock.ts'

/** A timer of ours alone does not keep the process alive. */
async function awake<T>(work: Promise<T>): Promise<T> {
  const keeping = setTimeout(() => {}, 5_000)
  return work.finally(() => clearTimeout(keeping))
}

t.test('within gives the result if it comes in time, and goes on without it if not', async (t) => {
  t.equal(await within(1_000, Promise.resolve('soon')), 'soon')
  await t.rejects(within(1_000, Promise.reject(new Error('failed'))), /failed/)
  const slow = Promise.withResolvers<string>()
  t.equal(await within(10, slow.promise), undefined)
  slow.resolve('late')
  t.equal(await slow.promise, 'late', 'the work itself was not given up')
})

t.test('sleep lasts as long as it should, or until it is broken off', async (t) => {
  const startedAt = performance.now()
  await awake(sleep(30))
  t.ok(performance.now() - startedAt >= 29)
  const ending = new AbortController()
  const sleeping = awake(sleep(5_000, ending.signal))
  ending.abort(new Error('enough'))
  await t.rejects(sleeping, /enough/)
  await t.rejects(sleep(5_000, ending.signal), /enough/)
})
