import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { withFileLock } from '../../src/storage/file-lock.ts'

const HOLDER = fileURLToPath(new URL('fixtures/hold-a-file-lock.ts', import.meta.url))

t.test('one at a time, within a process too', async (t) => {
  const file = join(t.testdir(), 'lock')
  let inside = 0
  let most = 0
  const turns = Array.from({ length: 10 }, () =>
    withFileLock(file, async () => {
      inside += 1
      most = Math.max(most, inside)
      await setTimeout(5)
      inside -= 1
    }),
  )
  await Promise.all(turns)
  t.equal(most, 1)
})

t.test('a lock is free again after its work failed', async (t) => {
  const file = join(t.testdir(), 'lock')
  await t.rejects(
    withFileLock(file, () => Promise.reject(new Error('no'))),
    /no/,
  )
  t.equal(await withFileLock(file, async () => 'mine'), 'mine')
})

t.test('the lock of a killed process is free at once', async (t) => {
  const file = join(t.testdir(), 'lock')
  const holder = spawn(process.execPath, [HOLDER, file])
  t.teardown(() => holder.kill('SIGKILL'))
  await once(holder.stdout, 'data')
  let isMine = false
  const turn = withFileLock(file, async () => {
    isMine = true
  })
  await setTimeout(200)
  t.notOk(isMine, 'while its holder lives')
  holder.kill('SIGKILL')
  await turn
  t.ok(isMine)
})
