/** Real modes of what a broker leaves on the disk, new and where others were before. */
import { chmodSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { closeDataDir, keepPrivate } from '../../src/base/folder.ts'
import { readConfig } from '../../src/settings/config.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { startBroker } from '../support/broker.ts'

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

t.test('a running broker', async (t) => {
  const broker = await startBroker(t)
  await broker.connect()
  t.equal(modeOf(broker.dataDir), '700')
  const files = readdirSync(broker.dataDir, { recursive: true, encoding: 'utf8' })
  t.ok(files.includes('token-broker.sqlite-wal'), files.join())
  for (const file of files) t.match(modeOf(join(broker.dataDir, file)), /^[67]00$/, file)
})

t.test('a database and a folder that all could read', async (t) => {
  const dataDir = join(t.testdir(), 'open')
  mkdirSync(dataDir)
  chmodSync(dataDir, 0o755)
  const first = openSqlite(dataDir)
  first.kysely.destroy()
  const names = ['token-broker.sqlite', 'token-broker.sqlite-wal', 'token-broker.sqlite-shm']
  const before = openSqlite(dataDir) // which keeps -wal and -shm there
  for (const name of names) chmodSync(join(dataDir, name), 0o644)
  chmodSync(dataDir, 0o755)
  const engine = openSqlite(dataDir)
  t.equal(modeOf(dataDir), '700')
  for (const name of names) t.equal(modeOf(join(dataDir, name)), '600', name)
  await engine.kysely.destroy()
  await before.kysely.destroy()
})

t.test('a mode that is closed enough stays as it is', (t) => {
  const file = join(t.testdir(), 'read-only')
  writeFileSync(file, '')
  chmodSync(file, 0o400)
  keepPrivate(file, 0o600)
  t.equal(modeOf(file), '400')
  t.end()
})

t.test('what was in a folder before is closed at the start; links lead nowhere', (t) => {
  const outside = join(t.testdir({ outside: '' }), 'outside')
  const dataDir = join(t.testdirName, 'data')
  mkdirSync(join(dataDir, 'journal'), { recursive: true })
  const files = ['sandbox.json', 'admin-token', 'sandbox-address', 'journal/a.journal', 'journal/a.draft']
  for (const file of files) writeFileSync(join(dataDir, file), '', { mode: 0o644 })
  for (const path of [dataDir, join(dataDir, 'journal')]) chmodSync(path, 0o755)
  chmodSync(outside, 0o644)
  symlinkSync(outside, join(dataDir, 'link'))
  t.same(closeDataDir(dataDir), [])
  for (const file of files) t.equal(modeOf(join(dataDir, file)), '600', file)
  for (const folder of ['', 'journal']) t.equal(modeOf(join(dataDir, folder)), '700', folder)
  t.equal(modeOf(outside), '644', 'nothing outside of it is touched')
  t.end()
})

t.test("another user's files are named and left alone", (t) => {
  const dataDir = t.testdir({ 'admin-token': '', 'sandbox.json': '' })
  chmodSync(join(dataDir, 'admin-token'), 0o644)
  const { getuid } = process
  t.teardown(() => {
    process.getuid = getuid as () => number
  })
  process.getuid = () => 12_345
  const [warning, ...more] = closeDataDir(dataDir)
  t.match(warning, { setting: 'DATA_DIR', message: /another user owns.*the folder itself/ })
  t.same(more, [])
  t.equal(modeOf(join(dataDir, 'admin-token')), '644')
  t.end()
})

t.test('a secret that all may read is named, whoever asks for it', async (t) => {
  const provider = {
    credential: 'client_credentials',
    authorization_server: {
      token_endpoint: 'https://a.example/t',
      client_id: 'c',
      client_secret: 'env:OURS',
    },
    upstream: { base_url: 'https://m.example/v1' },
  }
  const dir = t.testdir({
    open: 'a-secret-of-thirty-two-characters!',
    config: JSON.stringify({ providers: { p: provider } }),
  })
  const [file, CONFIG_FILE] = [join(dir, 'open'), join(dir, 'config')]
  for (const name of ['ADMIN_TOKEN', 'METRICS_TOKEN', 'OURS']) {
    const env = {
      CONFIG_FILE,
      OURS: 'x'.repeat(20),
      [`${name}_FILE`]: file,
      ...(name === 'OURS' && { OURS: undefined }),
    }
    const warned = () => readConfig(env).warnings.filter(({ setting }) => setting.endsWith('_FILE'))
    for (const [mode, count] of [
      [0o644, 1],
      [0o444, 1],
      [0o640, 0],
      [0o400, 0],
    ] as const) {
      chmodSync(file, mode)
      t.match(
        warned(),
        count === 0 ? [] : [{ setting: `${name}_FILE`, message: /0400/ }],
        `${name} ${mode.toString(8)}`,
      )
      t.equal(warned().length, count)
      t.notMatch(JSON.stringify(warned()), /a-secret-of/)
    }
  }
})
