/**
 * `npm run build` (and npm's `prepare`): the console and the embeddable element, into dist/console.
 *
 * Vite is a development dependency. Where it is not installed nothing is built, and the server says so at `/`.
 */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { brotliCompress, gzip } from 'node:zlib'
import type { InlineConfig } from 'vite'

const SOURCE = fileURLToPath(new URL('.', import.meta.url))
const OUTPUT = fileURLToPath(new URL('../../dist/console/', import.meta.url))

const COMMON: InlineConfig = {
  configFile: false,
  root: SOURCE,
  base: './',
  logLevel: 'warn',
}
const BUILD = {
  outDir: OUTPUT,
  emptyOutDir: false,
  target: 'es2022',
  modulePreload: { polyfill: false },
} as const

/** The console: a page and its assets, named by their content. */
const CONSOLE: InlineConfig = {
  ...COMMON,
  build: { ...BUILD, assetsInlineLimit: 0, rollupOptions: { input: join(SOURCE, 'index.html') } },
}

/** The element: one module at an address that stays. */
const ELEMENT: InlineConfig = {
  ...COMMON,
  publicDir: false,
  build: {
    ...BUILD,
    minify: true,
    lib: {
      entry: join(SOURCE, 'element/connect-element.ts'),
      formats: ['es'],
      fileName: () => 'token-broker-connect.js',
    },
  },
}

async function main(): Promise<void> {
  const vite = await import('vite').catch(() => undefined)
  if (!vite) {
    process.stdout.write('vite is not installed, so the console is not built\n')
    return
  }
  await rm(OUTPUT, { recursive: true, force: true })
  for (const config of [CONSOLE, ELEMENT]) await vite.build(config)
  await compressAll()
}

/** Served as they are to whoever takes them so. */
async function compressAll(): Promise<void> {
  for (const name of await readdir(OUTPUT, { recursive: true })) {
    if (!/\.(js|css|svg)$/.test(name)) continue
    const file = join(OUTPUT, name)
    const bytes = await readFile(file)
    await writeFile(`${file}.gz`, await promisify(gzip)(bytes, { level: 9 }))
    await writeFile(`${file}.br`, await promisify(brotliCompress)(bytes))
  }
}

await main()
