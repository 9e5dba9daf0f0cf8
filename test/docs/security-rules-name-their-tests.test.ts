/** docs/security.md claims a test for each of its rules: it is there. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const ROOT = new URL('../../', import.meta.url)
const path = (name: string) => fileURLToPath(new URL(name, ROOT))

/** The rows of every table with a column `test`. */
function ruleRows(text: string): string[] {
  return text
    .split('\n\n')
    .filter((block) => /^\|[^\n]*\| test \|\n/.test(block))
    .flatMap((table) => table.trim().split('\n').slice(2))
}

t.test('every rule names a test that exists', async (t) => {
  const rows = ruleRows(readFileSync(path('docs/security.md'), 'utf8'))
  t.ok(rows.length > 30, `${rows.length} rules`)
  for (const row of rows) {
    const tests = row.match(/`test\/[^`]+\.test\.ts`/g) ?? []
    t.ok(tests.length > 0, row.slice(0, 60))
    for (const quoted of tests) t.ok(existsSync(path(quoted.slice(1, -1))), quoted)
  }
})

t.test('both papers are found from README', async (t) => {
  const readme = readFileSync(path('README.md'), 'utf8')
  t.match(readme, '(docs/security.md)')
  t.match(readme, '(SECURITY.md)')
  t.ok(existsSync(path('SECURITY.md')))
})
