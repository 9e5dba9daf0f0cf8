/** `npx token-broker` beside a running broker: npx prepares what it runs, which must not take `dist/` from under it. */
import { execFile } from 'node:child_process'
import { cpSync, readdirSync, rmSync, statSync, symlinkSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const PROJECT = fileURLToPath(new URL('../../', import.meta.url))
const COPIED = ['package.json', 'package-lock.json', 'tsconfig.json', 'src', 'migrations', 'config', 'dist']

/** The project as it stands, with a `dist/` and a cache of npm's of its own. */
function copyProject(dir: string) {
  for (const name of COPIED)
    cpSync(join(PROJECT, name), join(dir, name), { recursive: true, preserveTimestamps: true })
  symlinkSync(join(PROJECT, 'node_modules'), join(dir, 'node_modules'))
  const env: Record<string, string | undefined> = {
    npm_config_cache: join(dir, '.npm'),
    npm_config_offline: 'true',
  }
  for (const [name, value] of Object.entries(process.env)) if (!/^npm_/i.test(name)) env[name] = value
  const run = async (command: string, ...args: string[]) =>
    (await promisify(execFile)(command, args, { cwd: dir, env })).stdout
  return {
    run,
    files: () =>
      readdirSync(join(dir, 'dist'), { recursive: true })
        .sort()
        .map((name) => fileOf(dir, String(name))),
  }
}

function fileOf(dir: string, name: string): string {
  const { ino, mtimeMs } = statSync(join(dir, 'dist', name))
  return `${name} ${ino} ${mtimeMs}`
}

t.test('npx runs what is there, also if it is older than its sources', async (t) => {
  const dir = t.testdir()
  const { run, files } = copyProject(dir)
  const before = files()
  utimesSync(join(dir, 'src/app.ts'), new Date(), new Date())
  t.match(await run('npx', 'token-broker', '--help'), 'token-broker COMMAND')
  t.same(files(), before)
})

t.test('npm builds what is missing or older than its sources, and nothing else', async (t) => {
  const dir = t.testdir()
  const { run, files } = copyProject(dir)
  rmSync(join(dir, 'dist'), { recursive: true })
  await run('npm', 'run', 'prepare')
  const built = files()
  t.match(built.join('\n'), 'server/main.js')
  await run('npm', 'run', 'prepare')
  t.same(files(), built, 'nothing has changed')
  const later = new Date(Date.now() + 1_000)
  utimesSync(join(dir, 'src/app.ts'), later, later)
  await run('npm', 'run', 'prepare')
  t.not(files().join(), built.join())
})
