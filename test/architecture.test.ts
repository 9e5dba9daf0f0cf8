/**
 * Proves the picture of the house from the import lines: imports go down only, and folders on one floor never
 * import each other.
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const SRC = fileURLToPath(new URL('../src/', import.meta.url))

/** Top to bottom. What lies directly in `src/` is the roof, too. */
const FLOORS = [
  ['cli', 'workers'],
  ['gateway', 'onboarding', 'admin'],
  ['credential', 'api-key', 'model-config', 'event', 'usage'],
  ['oauth', 'upstream', 'vault', 'storage'],
  ['base'],
]
/** Beside the house: stands on the ground, and only the roof looks at it. */
const BESIDE = 'sandbox'
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

function mayImport(from: string, to: string): boolean {
  if (from === to) return true
  if (to === BESIDE) return floorOf(from) === 0
  if (from === BESIDE) return to === 'base'
  const [above, below] = [floorOf(from), floorOf(to)]
  if (above === undefined || below === undefined) return false
  return above < below || above + below === 0
}

/** @param files their paths below `src/`, and their text */
function violations(files: ReadonlyMap<string, string>): string[] {
  const found: string[] = []
  for (const [file, text] of files) {
    const folder = folderOf(file)
    if (folder !== BESIDE && floorOf(folder) === undefined) found.push(`${file} stands on no floor`)
    if (file.endsWith('/index.ts')) found.push(`${file} is a barrel`)
    if (/^\s*export\s+default\b|\bas default\b/m.test(text)) found.push(`${file} has a default export`)
    for (const name of importsOf(text)) {
      const owner = DRIVERS[name.split('/')[0] ?? '']
      if (owner !== undefined && owner !== folder) found.push(`${file} loads ${name}`)
      if (!name.startsWith('.')) continue
      const target = normalize(join(dirname(file), name))
      if (target.startsWith(MIGRATIONS) && folder === 'storage') continue
      if (target.startsWith('..')) found.push(`${file} leaves src: ${name}`)
      else if (!mayImport(folder, folderOf(target))) found.push(`${file} imports ${target}`)
    }
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

t.test('every way to break the rule is caught', async (t) => {
  const planted: [file: string, line: string, found: string][] = [
    ['oauth/a.ts', `import { b } from '../credential/b.ts'`, 'oauth/a.ts imports credential/b.ts'],
    ['gateway/a.ts', `import type { B } from '../admin/b.ts'`, 'gateway/a.ts imports admin/b.ts'],
    ['vault/a.ts', `export { b } from '../storage/b.ts'`, 'vault/a.ts imports storage/b.ts'],
    ['base/a.ts', `import {\n  b,\n  c,\n} from '../vault/b.ts'`, 'base/a.ts imports vault/b.ts'],
    ['base/a.ts', `import '../app.ts'`, 'base/a.ts imports app.ts'],
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
    ['app.ts', './http.ts'],
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
