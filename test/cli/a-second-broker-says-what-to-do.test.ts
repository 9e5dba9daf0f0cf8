/** A place that is taken: the start ends with one line that says by whom, and which setting gives it another. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { startProcess } from '../support/broker-process.ts'
import { sitDown } from '../support/desk.ts'
import { freePort } from '../support/free-port.ts'

t.test('a second one on the same DATA_DIR leaves the first and its sandbox alone', async (t) => {
  const { env, run } = sitDown(t)
  const { DATA_DIR } = env
  const first = await startProcess(t, { env: { DATA_DIR } })
  await first.practiceKey()
  const address = readFileSync(join(DATA_DIR, 'sandbox-address'), 'utf8')

  for (const WORKERS of ['1', '2']) {
    const { code, err } = await run(['serve'], '', { WORKERS, PORT: String(await freePort()) })
    t.equal(code, 1)
    t.match(err, /^token-broker: DATA_DIR: another broker works in \S+, .*DATA_DIR.*PORT.*\n$/)
    t.match(err, DATA_DIR)
  }
  t.equal(readFileSync(join(DATA_DIR, 'sandbox-address'), 'utf8'), address)

  await first.kill()
  const next = await startProcess(t, { env: { DATA_DIR } })
  t.ok(await next.isReady(), 'who was killed holds nobody up')
})

t.test('an address that cannot be had', async (t) => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  t.teardown(() => other.close())
  const { port } = other.address() as AddressInfo
  const { run } = sitDown(t)
  const taken = await run(['serve'], '', { PORT: String(port) })
  t.equal(taken.code, 1)
  t.match(
    taken.err,
    new RegExp(
      `^token-broker: HOST and PORT: cannot listen on 127.0.0.1:${port} \\(EADDRINUSE\\): another program .*set PORT to another\\n$`,
    ),
  )

  const ADMIN_TOKEN = 'admin-token-0123456789-0123456789'
  const foreign = await run(['serve'], '', { PORT: '0', HOST: '192.0.2.1', ADMIN_TOKEN })
  t.equal(foreign.code, 1)
  t.match(foreign.err, /\(EADDRNOTAVAIL\): .*set HOST to one of its own.*\n$/)
})
