import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { adminTokenFile, readAdminToken } from '../../src/admin/admin-token.ts'
import { Secret } from '../../src/base/secret.ts'

t.test('at the first start one is made, which only its owner can read', async (t) => {
  const dataDir = join(t.testdir(), 'data')
  const token = readAdminToken({ adminToken: undefined, dataDir }).reveal()
  t.match(token, /^[A-Za-z0-9_-]{43}$/)
  t.equal(statSync(adminTokenFile(dataDir)).mode & 0o777, 0o600)
  t.equal(statSync(dataDir).mode & 0o777, 0o700)
  t.equal(readFileSync(adminTokenFile(dataDir), 'utf8').trim(), token)
  t.equal(readAdminToken({ adminToken: undefined, dataDir }).reveal(), token, 'the same at the next start')
})

t.test('ADMIN_TOKEN counts where it is set, and nothing is written', async (t) => {
  const dataDir = join(t.testdir(), 'data')
  t.equal(readAdminToken({ adminToken: new Secret('mine'), dataDir }).reveal(), 'mine')
  t.throws(() => statSync(dataDir), { code: 'ENOENT' })
})

t.test('processes that start at once agree on one', async (t) => {
  const dataDir = t.testdir()
  const STARTS = 300
  const source = new URL('../../src/admin/admin-token.ts', import.meta.url).href
  // Each start has a directory and a millisecond of its own, the same for all processes.
  const script = `
    import { readAdminToken } from '${source}'
    const [dataDir, first] = process.argv.slice(1)
    for (let i = 0; i < ${STARTS}; i += 1) {
      while (performance.timeOrigin + performance.now() < Number(first) + i * 2);
      console.log(readAdminToken({ dataDir: dataDir + '/' + i }).reveal())
    }`
  const args = ['--input-type=module', '--eval', script, dataDir, String(Date.now() + 1_000)]
  const outputs = await Promise.all(
    Array.from({ length: 3 }, () => promisify(execFile)(process.execPath, args)),
  )
  const [first = '', ...others] = outputs.map(({ stdout }) => stdout)
  t.equal(first.match(/^[\w-]{43}$/gm)?.length, STARTS, 'never an empty one')
  for (const other of others) t.equal(other, first)
  t.same(readdirSync(join(dataDir, '0')), ['admin-token'], 'no draft is left')
})
