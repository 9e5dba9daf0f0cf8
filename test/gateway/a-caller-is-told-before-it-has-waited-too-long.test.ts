/** Invariant I7: what all waits of a call get together leaves a second of the 12 in which it can be told. */
import t from 'tap'
import { Patience } from '../../src/gateway/patience.ts'

t.test('each wait gets what those before it have left', async (t) => {
  const patience = new Patience()
  const first = await patience.waitFor(async (ms) => ms)
  t.equal(first, 11_000)
  await patience.waitFor(() => new Promise((resolve) => setTimeout(resolve, 50)))
  const rest = await patience.waitFor(async (ms) => ms)
  t.ok(rest > 0 && rest <= 11_000 - 45, `${rest} ms`)
})
