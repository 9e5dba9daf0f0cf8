import { chmodSync, existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { sitDown } from '../support/desk.ts'

const ADMIN_TOKEN = 'a'.repeat(32)
/** None of them needs less of DATA_DIR than the others: the journal lies there in any case. */
const SURROUNDINGS: Record<string, Record<string, string>> = {
  'an admin token to be made': {},
  'one that is given': { ADMIN_TOKEN },
  'a database elsewhere': { ADMIN_TOKEN, DATABASE_URL: 'mysql://nobody@127.0.0.1:9/none' },
}

const run = (t: Test, command: string, env: Record<string, string>) =>
  sitDown(t).run([command], '', { PORT: '0', ...env })

function unusable(t: Test): string[] {
  const dir = t.testdir({ file: '', closed: {} })
  chmodSync(join(dir, 'closed'), 0o500)
  const isRoot = process.getuid?.() === 0 // who may write anywhere, but not in /proc
  const system = existsSync('/proc/self') ? ['/proc', '/proc/x', '/proc/x/y'] : []
  return [join(dir, 'file'), join(dir, 'file/below'), ...system, ...(isRoot ? [] : [join(dir, 'closed')])]
}

t.test('serve ends at once with one line that names the setting', async (t) => {
  for (const DATA_DIR of unusable(t)) {
    for (const [name, env] of Object.entries(SURROUNDINGS)) {
      const { code, err } = await run(t, 'serve', { DATA_DIR, ...env })
      t.equal(code, 1, `${DATA_DIR}, with ${name}`)
      t.match(err, /^token-broker: DATA_DIR must be [^\n]+ \([A-Z]+\)\n$/)
      t.notOk(err.includes(DATA_DIR), 'without the value')
    }
  }
})

t.test('so does a command that opens its database there', async (t) => {
  for (const DATA_DIR of unusable(t)) {
    const { code, err } = await run(t, 'keys', { DATA_DIR })
    t.equal(code, 1, DATA_DIR)
    t.match(err, /^token-broker: DATA_DIR must be [^\n]+ \([A-Z]+\)\n$/)
  }
})

t.test('a folder that is not there yet is made, with its parents, for its owner only', async (t) => {
  const dir = t.testdir()
  t.equal((await run(t, 'keys', { DATA_DIR: join(dir, 'parent/data') })).code, 0)
  for (const made of ['parent', 'parent/data']) t.equal(statSync(join(dir, made)).mode & 0o777, 0o700)
})
