/**
 * `npm run build`: the server into dist/server, the console and the embeddable element into dist/console, and what the
 * shipped provider files say beside them, so that a start need not parse them.
 *
 * Vite is a development dependency. Where it is not installed nothing is built. With `--if-stale` (npm's `prepare`)
 * nothing is built either if nothing changed since the last time, nor for `npx`, which prepares what it is about to
 * run: a broker may be running from here. With `--self-contained` the packages
 * that cannot be bundled are copied beside the server, so that `dist/` runs without a `node_modules` (the image).
 */
import { existsSync } from 'node:fs'
import { chmod, cp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { brotliCompress, gzip } from 'node:zlib'
import type { InlineConfig, Plugin } from 'vite'

const SOURCE = fileURLToPath(new URL('.', import.meta.url))
const CONSOLE_SOURCE = join(SOURCE, 'console')
const PROJECT = fileURLToPath(new URL('..', import.meta.url))
const OUTPUT = join(PROJECT, 'dist')
/** Written at the end. */
const STAMP = join(OUTPUT, 'built')
const SERVER_OUTPUT = join(OUTPUT, 'server')
const PACKAGES = join(PROJECT, 'node_modules')
/** A native module; what is loaded only on a terminal. */
const NOT_BUNDLED = ['better-sqlite3', 'pino-pretty']
/** Bundled, yet with files that are served as they are: see `src/http/api-description.ts`. */
const WITH_FILES = ['@fastify/swagger-ui']
const CONSOLE_OUTPUT = join(OUTPUT, 'console')

/** In ASCII: a single Chinese character in a file of two megabytes has V8 keep all of it with two bytes a character. */
const ESCAPED: Plugin = {
  name: 'escaped',
  generateBundle(_options, bundle) {
    for (const chunk of Object.values(bundle)) {
      if (chunk.type === 'chunk') chunk.code = chunk.code.replace(/[\u0080-\uffff]/g, escapeOf)
    }
  },
}

function escapeOf(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/**
 * The server with what it depends on, as deep below the project as the folders of `src/` are, so that both find
 * `config/` and `dist/console/` alike. It starts in half the time and memory of the TypeScript. Not minified: a stack
 * trace names functions as they are called here. The maps are for debuggers and `--enable-source-maps`.
 */
const SERVER: InlineConfig = {
  configFile: false,
  root: SOURCE,
  publicDir: false,
  logLevel: 'warn',
  plugins: [ESCAPED],
  resolve: { dedupe: ['undici'] }, // @fastify/reply-from brings one of its own, for calls that do not go through it
  ssr: {
    noExternal: true,
    external: NOT_BUNDLED,
  },
  build: {
    ssr: 'cli/main.ts',
    outDir: SERVER_OUTPUT,
    emptyOutDir: false,
    target: 'node22',
    minify: false,
    sourcemap: true,
    rolldownOptions: {
      output: {
        chunkFileNames: '[hash].js',
        comments: false, // they would stay in memory, too
      },
    },
  },
}

const COMMON: InlineConfig = {
  configFile: false,
  root: CONSOLE_SOURCE,
  base: './',
  logLevel: 'warn',
}
const BUILD = {
  outDir: CONSOLE_OUTPUT,
  emptyOutDir: false,
  target: 'es2022',
  modulePreload: { polyfill: false },
} as const

/** The console: a page and its assets, named by their content. */
const CONSOLE: InlineConfig = {
  ...COMMON,
  build: { ...BUILD, assetsInlineLimit: 0, rolldownOptions: { input: join(CONSOLE_SOURCE, 'index.html') } },
}

/** The element: one module at an address that stays. */
const ELEMENT: InlineConfig = {
  ...COMMON,
  publicDir: false,
  build: {
    ...BUILD,
    minify: true,
    lib: {
      entry: join(CONSOLE_SOURCE, 'element/connect-element.ts'),
      formats: ['es'],
      fileName: () => 'token-broker-connect.js',
    },
  },
}

async function main(): Promise<void> {
  if (process.argv.includes('--if-stale') && (process.env['npm_command'] === 'exec' || (await isFresh())))
    return
  const vite = await import('vite').catch(() => undefined)
  if (!vite) {
    process.stdout.write('vite is a development dependency and not installed, so nothing is built\n')
    return
  }
  await rm(OUTPUT, { recursive: true, force: true })
  for (const config of [SERVER, CONSOLE, ELEMENT]) await vite.build(config)
  await chmod(join(SERVER_OUTPUT, 'main.js'), 0o755)
  const { proveShipped } = await import('./settings/config.ts')
  await writeFile(join(OUTPUT, 'proven-files.json'), JSON.stringify(proveShipped()))
  await compressAll()
  if (process.argv.includes('--self-contained')) await copyPackages()
  await writeFile(STAMP, '')
}

/** Whether the last build has ended, and was later than every change of what it was made from. */
async function isFresh(): Promise<boolean> {
  if (!existsSync(STAMP)) return false
  const builtAt = (await stat(STAMP)).mtimeMs
  for (const source of ['src', 'config', 'migrations', 'package-lock.json', 'tsconfig.json']) {
    const path = join(PROJECT, source)
    const below = (await stat(path)).isDirectory() ? await readdir(path, { recursive: true }) : []
    for (const name of ['', ...below]) {
      if ((await stat(join(path, name))).mtimeMs > builtAt) return false
    }
  }
  return true
}

/** What is not bundled, with what it depends on. A package's own nested packages come along with it. */
async function copyPackages(): Promise<void> {
  for (const name of WITH_FILES) await copyPackage(name)
  const names = new Set(NOT_BUNDLED)
  for (const name of names) {
    const from = join(PACKAGES, name)
    const manifest = JSON.parse(await readFile(join(from, 'package.json'), 'utf8')) as {
      dependencies?: Record<string, string>
    }
    for (const needed of Object.keys(manifest.dependencies ?? {})) {
      if (!existsSync(join(from, 'node_modules', needed))) names.add(needed)
    }
    await copyPackage(name)
  }
}

async function copyPackage(name: string): Promise<void> {
  await cp(join(PACKAGES, name), join(SERVER_OUTPUT, 'node_modules', name), { recursive: true })
}

/** Served as they are to whoever takes them so. */
async function compressAll(): Promise<void> {
  for (const name of await readdir(CONSOLE_OUTPUT, { recursive: true })) {
    if (!/\.(js|css|svg)$/.test(name)) continue
    const file = join(CONSOLE_OUTPUT, name)
    const bytes = await readFile(file)
    await writeFile(`${file}.gz`, await promisify(gzip)(bytes, { level: 9 }))
    await writeFile(`${file}.br`, await promisify(brotliCompress)(bytes))
  }
}

await main()
