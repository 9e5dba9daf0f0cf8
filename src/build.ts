/**
 * `npm run build` (and npm's `prepare`): the server into dist/server, the console and the embeddable element into
 * dist/console.
 *
 * Vite is a development dependency. Where it is not installed nothing is built.
 */
import { chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { brotliCompress, gzip } from 'node:zlib'
import type { InlineConfig } from 'vite'

const SOURCE = fileURLToPath(new URL('.', import.meta.url))
const CONSOLE_SOURCE = join(SOURCE, 'console')
const OUTPUT = fileURLToPath(new URL('../dist/', import.meta.url))
const SERVER_OUTPUT = join(OUTPUT, 'server')
const CONSOLE_OUTPUT = join(OUTPUT, 'console')

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
  resolve: { dedupe: ['undici'] }, // @fastify/reply-from brings one of its own, for calls that do not go through it
  ssr: {
    noExternal: true,
    external: ['better-sqlite3', 'pino', 'pino-pretty'], // a native module; files that worker threads load
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
  const vite = await import('vite').catch(() => undefined)
  if (!vite) {
    process.stdout.write('vite is a development dependency and not installed, so nothing is built\n')
    return
  }
  await rm(OUTPUT, { recursive: true, force: true })
  for (const config of [SERVER, CONSOLE, ELEMENT]) await vite.build(config)
  await chmod(join(SERVER_OUTPUT, 'main.js'), 0o755)
  await compressAll()
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
