import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { every } from '../../src/base/every.ts'

const awake = setInterval(() => {}, 1_000)
t.teardown(() => clearInterval(awake))

t.test('it is never done twice at once, and each time later than the last has ended', async (t) => {
  let [underWay, most, done] = [0, 0, 0]
  const enough = Promise.withResolvers<void>()
  const startedAt = performance.now()
  const stop = every(10, async () => {
    underWay += 1
    most = Math.max(most, underWay)
    await new Promise((resolve) => setTimeout(resolve, 30))
    underWay -= 1
    done += 1
    if (done === 3) enough.resolve()
  })
  await enough.promise
  t.ok(performance.now() - startedAt >= 3 * 39, 'a pause before each')
  await stop()
  t.equal(most, 1)
})

t.test('whoever stops it waits for what is under way, and then it rests', async (t) => {
  const begun = Promise.withResolvers<void>()
  const may = Promise.withResolvers<void>()
  let rounds = 0
  const stop = every(1, async () => {
    rounds += 1
    begun.resolve()
    await may.promise
  })
  await begun.promise
  let isStopped = false
  const stopped = stop().then(() => {
    isStopped = true
  })
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.notOk(isStopped)
  may.resolve()
  await stopped
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(rounds, 1)
})

t.test('work that has not begun holds nobody up', async (t) => {
  let rounds = 0
  await every(10, () => {
    rounds += 1
  })()
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.equal(rounds, 0)
})

t.test('it keeps no process alive', async (t) => {
  const module = fileURLToPath(new URL('../../src/base/every.ts', import.meta.url))
  const code = `import(${JSON.stringify(module)}).then(({ every }) => every(10, () => {}))
    setTimeout(() => {}, 100)`
  const [exitCode] = await once(new Worker(code, { eval: true }), 'exit')
  t.equal(exitCode, 0)
})
