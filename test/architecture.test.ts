/**
 * Proves the picture of the house from the import lines: imports go down only, and folders on one floor never
 * import each other; and from the SQL that every table has an owner.
 */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { measure } from './support/budgets.ts'
import { runScript } from './support/package-scripts.ts'
import { parse } from './support/source-trees.ts'
import { foreignSql, readOwners, readPage, tablesIn } from './support/table-owners.ts'

const SRC = fileURLToPath(new URL('../src/', import.meta.url))

/** Top to bottom, as README draws it. What lies directly in `src/` is the roof, too, whose files and folders have an order. */
const { floors: FLOORS, roof: ROOF, beside: BESIDE } = readPicture()

/** README's picture: a line a floor, its name, its folders, what it is for. */
function readPicture(): { floors: string[][]; roof: string[]; beside: string } {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const picture = /^```\n(roof .*?)^```$/ms.exec(readme)?.[1] ?? ''
  const lines = picture
    .replaceAll(/\n(?= )/g, '')
    .split('\n')
    .filter(Boolean)
  const foldersOf = (line: string) =>
    [...line.matchAll(/\b([a-z0-9-]+)\/(?= |$)/g)].map((found) => found[1] ?? '')
  const beside = lines.filter((line) => line.startsWith('beside')).flatMap(foldersOf)
  const house = lines.filter((line) => !line.startsWith('beside'))
  const roof = [...(house[0] ?? '').matchAll(/\b([a-z0-9-]+)(\.ts\b|\/(?= |$))/g)]
  return {
    floors: house.map(foldersOf),
    roof: roof.map(([, name = '', end]) => (end === '.ts' ? `${name}.ts` : name)),
    beside: beside[0] ?? '',
  }
}

/** Each opens connections to one outside thing, so nobody else may load it. */
const DRIVERS: Record<string, string> = { mysql2: 'storage', 'better-sqlite3': 'storage' }
/** Beside `src/`, because they never change; storage alone runs them. */
const MIGRATIONS = '../migrations/'

const IMPORT =
  /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]|^\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm

function importsOf(text: string): string[] {
  return [...text.matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? match[3] ?? '')
}

/** '' for the roof's own files. */
function folderOf(file: string): string {
  return file.includes('/') ? (file.split('/')[0] ?? '') : ''
}

/** 0 is the roof; undefined for a folder the picture does not show. */
function floorOf(folder: string): number | undefined {
  const floor = folder === '' ? 0 : FLOORS.findIndex((folders) => folders.includes(folder))
  return floor === -1 ? undefined : floor
}

function mayImport(file: string, target: string): boolean {
  const [from, to] = [folderOf(file), folderOf(target)]
  if (from === to && from !== '') return true
  if (to === BESIDE) return floorOf(from) === 0
  if (from === BESIDE) return to === 'base'
  const [above, below] = [floorOf(from), floorOf(to)]
  if (above === undefined || below === undefined) return false
  return above < below || (above + below === 0 && isAhead(file, target))
}

/** Two of the roof, to the left or above. */
function isAhead(file: string, target: string): boolean {
  const [at = -1, targetAt = -1] = [file, target].map((one) => ROOF.indexOf(folderOf(one) || one))
  return at !== -1 && at < targetAt
}

/** Anything but types: see `src/base/node-http.ts`. */
const WHOLE_HTTP = /^import (?!type\b)[^'"`;]*'node:http'/m

/** @param files their paths below `src/`, and their text */
function violations(files: ReadonlyMap<string, string>): string[] {
  const found: string[] = []
  for (const [file, text] of files) {
    const folder = folderOf(file)
    if (folder !== BESIDE && floorOf(folder) === undefined) found.push(`${file} stands on no floor`)
    if (file.endsWith('/index.ts')) found.push(`${file} is a barrel`)
    if (WHOLE_HTTP.test(text)) found.push(`${file} loads all of node:http`)
    if (/^\s*export\s+default\b|\bas default\b/m.test(text)) found.push(`${file} has a default export`)
    for (const name of importsOf(text)) {
      const owner = DRIVERS[name.split('/')[0] ?? '']
      if (owner !== undefined && owner !== folder) found.push(`${file} loads ${name}`)
      if (!name.startsWith('.')) continue
      const target = normalize(join(dirname(file), name))
      if (target.startsWith(MIGRATIONS) && folder === 'storage') continue
      if (target.startsWith('..')) found.push(`${file} leaves src: ${name}`)
      else if (!mayImport(file, target)) found.push(`${file} imports ${target}`)
    }
  }
  return found
}

/** The pages' files take types of answers, and nothing else, from the house: no code of the server is in a bundle. */
function pageViolations(file: string, text: string): string[] {
  const found: string[] = []
  for (const [line, before = '', name = ''] of text.matchAll(/^import\b([^'"`;]*)['"]([^'"]+)['"]/gm)) {
    const target = normalize(join(dirname(file), name))
    if (!name.startsWith('.') || folderOf(target) === 'console') continue
    const isAnswer = /^ type\b/.test(before) && target.endsWith('answers.ts')
    if (!isAnswer) found.push(`${file}: ${line}`)
  }
  return found
}

function readHouse(): Map<string, string> {
  const files = globSync('**/*.ts', { cwd: SRC }).filter((file) => folderOf(file) !== 'console')
  return new Map(files.map((file) => [file.replaceAll('\\', '/'), readFileSync(join(SRC, file), 'utf8')]))
}

t.test('imports go down only', async (t) => {
  const house = readHouse()
  const imports = [...house.values()].flatMap(importsOf).filter((name) => name.startsWith('.'))
  t.ok(
    house.size > 50 && imports.length > 150,
    `${house.size} files with ${imports.length} imports were read`,
  )
  t.same(violations(house), [])
})

t.test('README shows every folder and every file of the roof', async (t) => {
  const house = [...readHouse().keys()]
  const folders = new Set(house.map(folderOf).filter((folder) => folder !== ''))
  t.same([...FLOORS.flat(), BESIDE].sort(), [...folders].sort())
  t.same(
    ROOF.filter((name) => name.endsWith('.ts')).sort(),
    house.filter((file) => folderOf(file) === '').sort(),
  )
})

t.test('the console takes types of answers, and nothing else, from the house', async (t) => {
  const files = globSync('console/**/*.ts', { cwd: SRC })
  const texts = files.map((file) => [file, readFileSync(join(SRC, file), 'utf8')] as const)
  const taken = texts.filter(([, text]) => /answers\.ts'/.test(text))
  t.ok(taken.length > 10, `${taken.length} of ${files.length} files take types`)
  t.same(
    texts.flatMap(([file, text]) => pageViolations(file, text)),
    [],
  )
  const planted = [
    `import { CAUSES } from '../admin/causes.ts'`,
    `import { API_KEY } from '../admin/answers.ts'`,
    `import type { Guard } from '../admin/guard.ts'`,
  ]
  for (const line of planted) t.same(pageViolations('console/a.ts', line), [`console/a.ts: ${line}`])
})

t.test('the types of the console are checked', async (t) => {
  const read = await runScript('tsc', ['-p', 'src/console', '--listFilesOnly'])
  const checked = new Set(
    read
      .toString()
      .split('\n')
      .map((file) => file.replaceAll('\\', '/')),
  )
  const files = globSync('console/**/*.ts', { cwd: SRC })
  t.same(
    files.filter((file) => !checked.has(join(SRC, file).replaceAll('\\', '/'))),
    [],
  )
})

/** Pages that a text cites and that are not there: `docs/x.md`, `x.md` beside README or in docs. */
function missingPages(text: string): string[] {
  const pages = [...text.matchAll(/[\w./-]*\w\.md\b/g)].map(([page]) => page)
  const isThere = (page: string) =>
    ['', 'docs/', 'docs/recipes/'].some((folder) =>
      existsSync(new URL(`../${folder}${page}`, import.meta.url)),
    )
  return pages.filter((page) => !/^[./]/.test(page) && !isThere(page))
}

t.test('what comments cite is in the repository', async (t) => {
  t.same(missingPages('// see docs/refresh.md, README.md and design.md §6'), ['design.md'])
  for (const [file, text] of readHouse()) t.same(missingPages(text), [], file)
})

t.test('every way to break the rule is caught', async (t) => {
  const planted: [file: string, line: string, found: string][] = [
    ['oauth/a.ts', `import { b } from '../credential/b.ts'`, 'oauth/a.ts imports credential/b.ts'],
    ['gateway/a.ts', `import type { B } from '../admin/b.ts'`, 'gateway/a.ts imports admin/b.ts'],
    ['vault/a.ts', `export { b } from '../storage/b.ts'`, 'vault/a.ts imports storage/b.ts'],
    ['base/a.ts', `import {\n  b,\n  c,\n} from '../vault/b.ts'`, 'base/a.ts imports vault/b.ts'],
    ['base/a.ts', `import '../app.ts'`, 'base/a.ts imports app.ts'],
    ['parts.ts', `import { buildApp } from './app.ts'`, 'parts.ts imports app.ts'],
    ['app.ts', `import type { Broker } from './broker.ts'`, 'app.ts imports broker.ts'],
    ['background.ts', `const a = await import('./workers/a.ts')`, 'background.ts imports workers/a.ts'],
    ['server.ts', `export { a } from './cli/a.ts'`, 'server.ts imports cli/a.ts'],
    ['workers/a.ts', `import '../server.ts'`, 'workers/a.ts imports server.ts'],
    ['http/a.ts', `import type { Parts } from '../parts.ts'`, 'http/a.ts imports parts.ts'],
    ['http/a.ts', `import { stop } from '../start/signals.ts'`, 'http/a.ts imports start/signals.ts'],
    ['app.ts', `import { a } from './elsewhere.ts'`, 'app.ts imports elsewhere.ts'],
    ['usage/a.ts', `const b = await import('../gateway/b.ts')`, 'usage/a.ts imports gateway/b.ts'],
    ['sandbox/a.ts', `import { b } from '../oauth/b.ts'`, 'sandbox/a.ts imports oauth/b.ts'],
    ['admin/a.ts', `import { b } from '../sandbox/b.ts'`, 'admin/a.ts imports sandbox/b.ts'],
    ['upstream/a.ts', `import { b } from '../util/b.ts'`, 'upstream/a.ts imports util/b.ts'],
    ['cli/a.ts', `import b from '../../test/b.ts'`, 'cli/a.ts leaves src: ../../test/b.ts'],
    ['admin/a.ts', `import { createPool } from 'mysql2/promise'`, 'admin/a.ts loads mysql2/promise'],
    [
      'vault/a.ts',
      `import * as a from '../../migrations/a.ts'`,
      'vault/a.ts leaves src: ../../migrations/a.ts',
    ],
    ['http/a.ts', `import { type Server, request } from 'node:http'`, 'http/a.ts loads all of node:http'],
    ['util/a.ts', '', 'util/a.ts stands on no floor'],
    ['vault/index.ts', '', 'vault/index.ts is a barrel'],
    ['vault/a.ts', 'export default class {}', 'vault/a.ts has a default export'],
    ['vault/a.ts', 'export { seal as default }', 'vault/a.ts has a default export'],
  ]
  for (const [file, line, found] of planted) {
    t.same(violations(new Map([[file, `const x = 1\n${line}\n`]])), [found])
  }
})

t.test('what the picture allows is not caught', async (t) => {
  const allowed: [file: string, name: string][] = [
    ['app.ts', './http/a.ts'],
    ['app.ts', './parts.ts'],
    ['workers/a.ts', '../broker.ts'],
    ['workers/a.ts', './b.ts'],
    ['server.ts', './sandbox/sandbox.ts'],
    ['cli/main.ts', '../app.ts'],
    ['admin/a.ts', '../storage/b.ts'],
    ['credential/a.ts', './b.ts'],
    ['credential/persistence/a.ts', '../credential.ts'],
    ['sandbox/a.ts', '../base/clock.ts'],
    ['storage/a.ts', '../../migrations/a.ts'],
  ]
  for (const [file, name] of allowed) t.same(violations(new Map([[file, `import { x } from '${name}'`]])), [])
})

const OWNERS = readOwners(readPage('architecture.md'))

/** Every file of `src/`, pages of the console too, below `src/`. */
function readAll(): Map<string, string> {
  const files = globSync('**/*.ts', { cwd: SRC }).map((file) => file.replaceAll('\\', '/'))
  return new Map(files.map((file) => [file, readFileSync(join(SRC, file), 'utf8')]))
}

const TREES = parse(readAll())

t.test('SQL on a table stands only with its owner', async (t) => {
  const tables = TREES.get('storage/tables.ts')
  t.same([...OWNERS.keys()].sort(), ['*', ...(tables ? tablesIn(tables) : [])].sort(), 'each is in the docs')
  const files = [...OWNERS.values()].flatMap(({ writers, readers }) => [...writers, ...readers])
  t.same(
    files.filter((file) => !TREES.has(file.replace('src/', ''))),
    [],
    'and its owner is there',
  )
  for (const [file, tree] of TREES) t.same(foreignSql(`src/${file}`, tree, OWNERS), [], file)
})

t.test('every way to name a table elsewhere is caught', async (t) => {
  const planted: [file: string, code: string, found: string][] = [
    ['gateway/a.ts', `db.selectFrom('model_configs').selectAll()`, 'reads model_configs'],
    ['gateway/a.ts', `db\n  .selectFrom(\n    'api_keys as k',\n  )`, 'reads api_keys'],
    ['usage/a.ts', `db.selectFrom(['usage_hourly', 'api_keys'])`, 'reads usage_hourly, reads api_keys'],
    ['event/a.ts', `db.insertInto('login_links').values(row)`, 'writes login_links'],
    ['event/a.ts', `db.updateTable('audit_events').set({})`, 'writes audit_events'],
    ['admin/a.ts', `db.deleteFrom('audit_log').execute()`, 'writes audit_log'],
    ['admin/a.ts', `db.replaceInto('ended_sessions').values(row)`, 'writes ended_sessions'],
    [
      'admin/a.ts',
      `db.mergeInto('api_keys').using('rotated_keys', on)`,
      'reads rotated_keys, writes api_keys',
    ],
    ['usage/usage-store.ts', `usage.innerJoin('api_keys', 'a', 'b')`, 'reads api_keys'],
    ['usage/a.ts', `usage.leftJoin('model_configs as c', 'a', 'b')`, 'reads model_configs'],
    ['usage/a.ts', 'usage.rightJoin(`device_sessions`, on)', 'reads device_sessions'],
    [
      'usage/a.ts',
      `db.selectFrom(isKey ? 'api_keys' : 'rotated_keys')`,
      'reads api_keys, reads rotated_keys',
    ],
    ['usage/a.ts', `db?.selectFrom('api_keys')`, 'reads api_keys'],
    ['cli/a.ts', 'db.selectFrom(table).selectAll()', 'reads a table that it does not spell'],
    ['cli/a.ts', 'db.deleteFrom(sealed.table)', 'writes a table that it does not spell'],
    ['cli/a.ts', `db.updateTable(\`\${kind}_keys\`)`, 'writes a table that it does not spell'],
    ['admin/a.ts', `sql\`select 1 from model_configs where id = \${id}\``, 'reads model_configs'],
    ['admin/a.ts', `sql<{ id: string }>\`select id from \${x} join "api_keys" on \${y}\``, 'reads api_keys'],
    ['admin/a.ts', 'sql`delete from rate_counters`', 'writes rate_counters'],
    ['admin/a.ts', `sql.raw('update change_counter set value = 0')`, 'writes change_counter'],
    ['admin/a.ts', 'sql.raw(text)', 'writes a table that it does not spell'],
    ['admin/a.ts', `sql.table('login_links')`, 'reads login_links'],
    ['storage/a.ts', `db.deleteFrom('model_configs')`, 'writes model_configs'],
    ['storage/a.ts', 'sql`insert into audit_log values (1)`', 'writes audit_log'],
    ['model-config/model-config-reader.ts', `db.updateTable('model_configs')`, 'writes model_configs'],
    ['cli/import-database.ts', 'sql`update model_configs set name = 1`', 'writes model_configs'],
  ]
  const trees = parse(new Map(planted.map(([file, code], n) => [`${n}/${file}`, code])))
  for (const [n, [file, code, found]] of planted.entries()) {
    const tree = trees.get(`${n}/${file}`)
    const told = tree ? foreignSql(`src/${file}`, tree, OWNERS) : []
    t.same(
      told,
      found.split(', ').map((what) => `src/${file} ${what}`),
      code,
    )
  }
})

t.test('SQL that owners may write is not caught', async (t) => {
  const allowed: [file: string, code: string][] = [
    ['model-config/model-config-store.ts', `db.insertInto('model_configs')`],
    ['credential/credential-reader.ts', `db.selectFrom('model_configs')`],
    ['storage/look-ups.ts', `db.selectFrom('model_configs')`],
    ['storage/look-ups.ts', `sql\`(select name from api_keys where id = \${id})\``],
    ['event/login-links.ts', `db.selectFrom('login_links').innerJoin(needy(db).as('config'), 'a', 'b')`],
    ['cli/reseal.ts', 'db.updateTable(table)'],
    ['cli/import-database.ts', 'sql`select * from model_configs`'],
    ['admin/a.ts', `sql\`lower(name) like \${pattern}\``],
    ['admin/a.ts', `const fields = ['model_configs', id]; Array.from('api_keys'); log.info('audit_log')`],
  ]
  const trees = parse(new Map(allowed.map(([file, code], n) => [`${n}/${file}`, code])))
  for (const [n, [file, code]] of allowed.entries()) {
    const tree = trees.get(`${n}/${file}`)
    t.same(tree ? foreignSql(`src/${file}`, tree, OWNERS) : undefined, [], code)
  }
})

const BUDGET = { lines: 250, functionLines: 40, parameters: 4, imports: 8 }

const MEASURED = [...TREES].map(([file, tree]) => measure(file, tree))

const MAX_LINES = 280
const MAX_FUNCTION_LINES = 44
const HOT_FOLDERS = new Set(['gateway', 'credential', 'upstream', 'http1'])

t.test('no file, and no function that every call passes, is too long', async (t) => {
  const files = MEASURED.filter(({ lines }) => lines > MAX_LINES)
  const functions = MEASURED.filter(({ file }) => HOT_FOLDERS.has(folderOf(file))).flatMap(
    ({ file, functions }) =>
      functions.filter(({ lines }) => lines > MAX_FUNCTION_LINES).map(({ name }) => `${file} ${name}`),
  )
  t.same([...files.map(({ file }) => file), ...functions], [])
})

t.test('what is over its budget is told', async (t) => {
  for (const { file, lines, imports, functions } of MEASURED) {
    if (lines > BUDGET.lines) t.comment(`${file}: ${lines} lines`)
    if (imports > BUDGET.imports) t.comment(`${file}: ${imports} imports from other folders`)
    for (const { name, lines, parameters } of functions) {
      if (lines > BUDGET.functionLines) t.comment(`${file}: ${name} has ${lines} lines`)
      if (parameters > BUDGET.parameters) t.comment(`${file}: ${name} has ${parameters} parameters`)
    }
  }
  const code = `import { a } from '../base/a.ts'
import { b } from './b.ts'
/** Not counted. */
export function first(a: number, b: number) {
  const second = () => {
    return a
  }
  return second
}
class Third {
  constructor(readonly one: string) {}
}
`
  const tree = parse(new Map([['vault/a.ts', code]])).get('vault/a.ts')
  t.same(tree && measure('vault/a.ts', tree), {
    file: 'vault/a.ts',
    lines: 12,
    imports: 1,
    functions: [
      { name: 'first', lines: 6, parameters: 2 },
      { name: 'second', lines: 3, parameters: 0 },
      { name: 'constructor', lines: 1, parameters: 1 },
    ],
  })
})
