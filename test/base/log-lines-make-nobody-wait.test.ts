import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { constants, openSync, readSync } from 'node:fs'
import t from 'tap'
import { LineWriter } from '../../src/base/line-writer.ts'
import { MAIN } from '../support/desk.ts'
import { freePort } from '../support/free-port.ts'
import { waitUntil } from '../support/wait-until.ts'

const line = (number: number) => `{"number":${number}}\n`

t.test('a reader that is stuck gets whole lines in order, and loses those that are too many', async (t) => {
  const fifo = `${t.testdir()}/fifo`
  execFileSync('mkfifo', [fifo])
  const pipe = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK)
  const writer = new LineWriter(pipe)
  let next = 0
  while (next < 100_000) writer.write(line(next++))
  let text = ''
  const chunk = Buffer.alloc(64 * 1024)
  for (let round = 0; round < 20; round += 1) {
    writer.flush()
    text += chunk.toString('latin1', 0, readSync(pipe, chunk))
    writer.write(line(next++))
  }
  const numbers = text
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text).number as number)
  const kept = numbers.findIndex((number, index) => number !== index)
  t.ok(kept > 10_000, `${kept} lines waited`)
  t.same(numbers.slice(-3), [next - 4, next - 3, next - 2], 'and it goes on once it is read again')
})

t.test('a full disk costs lines only', async () => {
  const writer = new LineWriter(openSync('/dev/full', 'w'))
  for (let i = 0; i < 10_000; i += 1) writer.write(line(i))
  writer.flush()
})

t.test('a broker whose log goes nowhere serves, and ends when it is told to', async (t) => {
  const port = await freePort()
  const broker = spawn(process.execPath, [MAIN, 'serve'], {
    stdio: ['ignore', openSync('/dev/full', 'w'), 'ignore'],
    env: {
      NODE_ENV: 'production',
      ADMIN_TOKEN: 'a'.repeat(40),
      TOKEN_ENCRYPTION_KEY: `${randomBytes(32).toString('base64url')}=`,
      DATA_DIR: t.testdir(),
      PORT: String(port),
    },
  })
  const ended = once(broker, 'exit')
  const isReady = () =>
    fetch(`http://127.0.0.1:${port}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    )
  await waitUntil(isReady)
  const answer = await fetch(`http://127.0.0.1:${port}/v1/models`)
  t.equal(answer.status, 401)
  broker.kill('SIGINT')
  t.same(await ended, [0, null])
})
