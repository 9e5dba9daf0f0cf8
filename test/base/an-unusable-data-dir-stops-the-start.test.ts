import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const ADMIN_TOKEN = 'a'.repeat(32)
/** None of them needs less of DATA_DIR than the others: the journal lies there in any case. */
const SURROUNDINGS: Record<string, Record<string, string>> = {
  'an admin token to be made': {},
  'one that is given': { ADMIN_TOKEN },
  'a database elsewhere': { ADMIN_TOKEN, DATABASE_URL: 'mysql://nobody@127.0.0.1:9/none' },
}

function run(command: string, dataDir: string, env: Record<string, string> = {}) {
  return spawnSync(process.execPath, [MAIN, command], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], PORT: '0', DATA_DIR: dataDir, ...env },
    timeout: 60_000,
    killSignal: 'SIGKILL',
  })
}

function unusable(t: Test): string[] {
  const dir = t.testdir({ file: '', closed: {} })
  chmodSync(join(dir, 'closed'), 0o500)
  const isRoot = process.getuid?.() === 0 // who may write anywhere, but not in /proc
  const system = existsSync('/proc/self') ? ['/proc', '/proc/x', '/proc/x/y'] : []
  return [join(dir, 'file'), join(dir, 'file/below'), ...system, ...(isRoot ? [] : [join(dir, 'closed')])]
}

t.test('serve ends at once with one line that names the setting', async (t) => {
  for (const dataDir of unusable(t)) {
    for (const [name, env] of Object.entries(SURROUNDINGS)) {
      const { status, stderr } = run('serve', dataDir, env)
      t.equal(status, 1, `${dataDir}, with ${name}`)
      t.match(stderr, /^token-broker: DATA_DIR must be [^\n]+ \([A-Z]+\)\n$/)
      t.notOk(stderr.includes(dataDir), 'without the value')
    }
  }
})

t.test('so does a command that opens its database there', async (t) => {
  for (const dataDir of unusable(t)) {
    const { status, stderr } = run('keys', dataDir)
    t.equal(status, 1, dataDir)
    t.match(stderr, /^token-broker: DATA_DIR must be [^\n]+ \([A-Z]+\)\n$/)
  }
})

t.test('a folder that is not there yet is made, with its parents, for its owner only', async (t) => {
  const dir = t.testdir()
  t.equal(run('keys', join(dir, 'parent/data')).status, 0)
  for (const made of ['parent', 'parent/data']) t.equal(statSync(join(dir, made)).mode & 0o777, 0o700)
})
