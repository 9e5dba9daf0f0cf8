import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startSandbox } from '../../src/sandbox/sandbox.ts'
import {
  askDeviceCode,
  fakeClock,
  logIn,
  poll,
  refresh,
  start,
  tokensOf,
  upstreamStatus,
} from './fixtures/client.ts'

t.test('tokens, used refresh tokens and waiting device codes survive a restart', async (t) => {
  const stateFile = join(t.testdir(), 'sandbox.json')
  const before = await start(t, { stateFile })
  const first = await logIn(before)
  const second = tokensOf(await refresh(before, first.refreshToken))
  const stolen = await logIn(before)
  await refresh(before, stolen.refreshToken)
  const waiting = await askDeviceCode(before)
  const approved = await askDeviceCode(before)
  await before.approve(approved.userCode)
  await before.close()

  const after = await start(t, { stateFile })
  t.equal(await upstreamStatus(after, second.accessToken), 200)
  t.equal((await refresh(after, second.refreshToken)).status, 200)
  t.equal((await refresh(after, stolen.refreshToken)).body['error'], 'invalid_grant')
  t.equal(after.counts.reusesDetected, 1)
  const pending = await poll(after, waiting.deviceCode, waiting.codeVerifier)
  t.equal(pending.body['error'], 'authorization_pending')
  t.equal((await poll(after, approved.deviceCode, approved.codeVerifier)).status, 200)
})

t.test('what a client was told is on file, even if the end comes without warning', async (t) => {
  const stateFile = join(t.testdir(), 'sandbox.json')
  const { clock } = fakeClock()
  const before = await start(t, { stateFile, clock, interval: 1 })
  // A second sandbox on the same file stands for the restart after a crash: the first never got to close.
  const crash = () => start(t, { stateFile, clock, interval: 1 })
  const slow = await askDeviceCode(before)
  await poll(before, slow.deviceCode, slow.codeVerifier)
  await poll(before, slow.deviceCode, slow.codeVerifier)
  t.match(readFileSync(stateFile, 'utf8'), /"intervalSeconds":6/)

  const { refreshToken } = await logIn(before)
  const families = await Promise.all(Array.from({ length: 20 }, () => logIn(before)))
  const rotated = await Promise.all(families.map((tokens) => refresh(before, tokens.refreshToken)))
  const second = await crash()
  for (const answer of rotated) {
    t.equal((await refresh(second, tokensOf(answer).refreshToken)).status, 200)
  }
  await refresh(before, tokensOf(await refresh(before, refreshToken)).refreshToken)
  await refresh(before, refreshToken)
  t.equal(before.counts.familiesRevoked, 1)
  const third = await crash()
  t.equal((await refresh(third, refreshToken)).body['error'], 'invalid_grant')
  t.equal(third.counts.reusesDetected, 0, 'the family is gone from the file')
})

t.test('the file is private, whole, and holds no token', async (t) => {
  const directory = t.testdir({ 'sandbox.json.new': 'left by a crash' })
  const stateFile = join(directory, 'sandbox.json')
  const sandbox = await start(t, { stateFile })
  const { deviceCode } = await askDeviceCode(sandbox)
  const { accessToken, refreshToken } = await logIn(sandbox)
  t.equal(statSync(stateFile).mode & 0o777, 0o600)
  t.same(readdirSync(directory), ['sandbox.json'])
  const text = readFileSync(stateFile, 'utf8')
  for (const secret of [deviceCode, accessToken, refreshToken, refreshToken.slice(0, 32)]) {
    t.notOk(text.includes(secret))
  }
})

t.test('a file that is not ours stops the start', async (t) => {
  const stateFile = join(t.testdir(), 'other.json')
  for (const content of ['{', '{"families":[]}', '']) {
    writeFileSync(stateFile, content)
    await t.rejects(startSandbox({ stateFile }), /other\.json is not a sandbox state file/)
    t.equal(readFileSync(stateFile, 'utf8'), content, 'and is left as it was')
  }
})

t.test('a disk that fails is said, not hidden', async (t) => {
  const sandbox = await start(t, { stateFile: join(t.testdir(), 'missing', 'sandbox.json') })
  t.match((await askDeviceCode(sandbox)).answer, { status: 500, body: { error: 'server_error' } })
})
