/** `/openapi.json` is OpenAPI 3.1, says every answer and every error, and makes a client that compiles and works. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { ERRORS, type ErrorCode } from '../../src/base/errors.ts'
import { startBroker } from '../support/broker.ts'
import { MODULES, runScript } from '../support/package-scripts.ts'

t.setTimeout(240_000)

const run = promisify(execFile)

interface Operation {
  readonly operationId?: string
  readonly summary?: string
  readonly tags?: readonly string[]
  readonly security?: readonly object[]
  readonly responses: Readonly<Record<string, Response>>
}
interface Response {
  readonly description: string
  readonly content?: Readonly<Record<string, { readonly schema: ErrorSchema }>>
}
interface ErrorSchema {
  readonly $ref?: string
  readonly properties?: { readonly code?: { readonly enum: readonly ErrorCode[] } }
}

/** A directory with the page in it, in which packages are found. */
async function savePage(t: Test, origin: string) {
  const folder = mkdtempSync(join(tmpdir(), 'token-broker-client-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  symlinkSync(MODULES, join(folder, 'node_modules'))
  const text = await (await fetch(`${origin}/openapi.json`)).text()
  writeFileSync(join(folder, 'openapi.json'), text)
  return { folder, page: JSON.parse(text) }
}

t.test('the page is OpenAPI 3.1', async (t) => {
  const broker = await startBroker(t)
  const { folder, page } = await savePage(t, broker.origin)
  t.equal(page.openapi, '3.1.0')
  const verdict = await runScript('validate-api', [join(folder, 'openapi.json')])
  t.same(JSON.parse(verdict), { valid: true })
})

t.test('every operation is named, and says every error with its codes', async (t) => {
  const broker = await startBroker(t)
  const { page } = await savePage(t, broker.origin)
  const tags = page.tags.map(({ name }: { name: string }) => name)
  const seen = new Set<string>()
  for (const [path, methods] of Object.entries<Record<string, Operation>>(page.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const called = `${method} ${path}`
      const { operationId = '', summary, security = [] } = operation
      t.ok(operationId && summary && !seen.has(operationId), `${called} has a name of its own`)
      seen.add(operationId)
      t.ok(operation.tags?.length === 1 && tags.includes(operation.tags[0]), `${called} is on a shelf`)
      for (const name of security.flatMap(Object.keys)) t.ok(page.components.securitySchemes[name], name)
      const { 500: error, ...others } = operation.responses
      t.ok(error, `${called} may fail`)
      for (const [status, response] of Object.entries(others)) {
        if (Number(status) < 400 || called === 'get /health/ready') continue
        t.not(response.description, 'Default Response', called)
        if (response.content?.['text/html']) continue
        const schema = response.content?.['application/json']?.schema
        const named = page.components.schemas[schema?.$ref?.split('/').at(-1) ?? '']
        const codes: readonly ErrorCode[] = (named ?? schema)?.properties?.code?.enum ?? []
        t.ok(codes.length > 0, `${called} ${status} has codes`)
        for (const code of codes) t.equal(ERRORS[code].status, Number(status), `${called} ${code}`)
      }
    }
  }
})

/** Type-checked against the client, and then run. */
const USES_THE_CLIENT = `
import { createKey, defaults, listConfigs } from './client.ts'

const [origin = '', token = ''] = process.argv.slice(2)
defaults.baseUrl = origin
defaults.headers = { authorization: \`Bearer \${token}\` }
const listed = await listConfigs({ pageSize: 5 })
if (listed.status !== 200) throw new Error(listed.data.code)
const [first] = listed.data.items
if (!first) throw new Error('no config')
const made = await createKey({ name: 'by a generated client', model_config_ids: [first.id] })
if (made.status !== 201) throw new Error(made.data.message)
const state: 'active' | 'refreshing' | 'uncertain' | 'cooling_down' | 'refused' | 'reauth_required' | 'missing' = first.credential.state
console.log(JSON.stringify({ total: listed.data.total, name: first.name, state, key: made.data.key.slice(0, 6) }))
`
const COMPILER_OPTIONS = {
  strict: true,
  noEmit: true,
  module: 'nodenext',
  target: 'es2024',
  lib: ['es2024', 'dom'],
  types: ['node'],
  allowImportingTsExtensions: true,
  skipLibCheck: true,
}

t.test('a client that is generated from it compiles, lists configs and makes a key', async (t) => {
  const broker = await startBroker(t)
  await broker.connect('practice')
  const { folder } = await savePage(t, broker.origin)
  await runScript('oazapfts', [join(folder, 'openapi.json'), join(folder, 'client.ts')])
  writeFileSync(join(folder, 'use.ts'), USES_THE_CLIENT)
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}')
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: COMPILER_OPTIONS }))
  t.equal(await runScript('tsc', ['-p', folder]).catch(({ stdout, stderr }) => stdout + stderr), '')
  const { stdout } = await run(process.execPath, [join(folder, 'use.ts'), broker.origin, broker.adminToken])
  t.same(JSON.parse(stdout), { total: 1, name: 'practice', state: 'active', key: 'sk-tb-' })
  const { body } = await broker.admin('GET', '/api/keys')
  t.ok(body.items.some(({ name }: { name: string }) => name === 'by a generated client'))
})
