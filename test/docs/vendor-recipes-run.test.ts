/** The page of each large vendor, run as it stands there, against a server that is strict about what the vendor asks for. */
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { selfSigned } from '../support/certificates.ts'
import { asIfOutside } from './fixtures/outside.ts'
import { runRecipe } from './fixtures/recipe.ts'
import { type Arrived, VENDORS, type Vendor } from './fixtures/vendors.ts'

const PEM = generateKeyPairSync('rsa', { modulusLength: 2048 })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString()
const SERVICE_ACCOUNT = JSON.stringify({
  ...{ type: 'service_account', client_email: 'sa@my-project.iam.gserviceaccount.com' },
  ...{ private_key: PEM, private_key_id: 'k1' },
})
const TOKEN = 'token-of-the-vendor-0123456789'

/** @returns how its hosts are reached */
async function startVendor(
  t: Test,
  { token, models }: Vendor,
  wrong: string[],
): Promise<Record<string, string>> {
  const hosts = [...new Set([token?.at, models.at].flatMap((at) => at?.split('/')[0] ?? []))]
  const pair = selfSigned(hosts)
  const answerTo = (arrived: Arrived): [number, object] => {
    if (arrived.at === token?.at && token.takes(arrived)) return [200, token.answer(TOKEN)]
    const isKnown = token === undefined || arrived.headers.authorization === `Bearer ${TOKEN}`
    const isCall = arrived.at === `${models.at}/chat/completions` && isKnown
    if (isCall && (models.takes?.(arrived) ?? true))
      return [200, { choices: [{ message: { role: 'assistant', content: 'Hello yourself' } }] }]
    wrong.push(`${arrived.at} ${arrived.body}`)
    return [401, { error: 'invalid_client' }]
  }
  const server = createServer(pair, async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const { headers, url = '' } = request
    const [status, answer] = answerTo({ at: `${headers.host}${url}`, headers, body })
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  return asIfOutside(t, pair, Object.fromEntries(hosts.map((host) => [`${host}:443`, port])))
}

for (const vendor of VENDORS)
  t.test(vendor.page, async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'vendor-recipe-'))
    t.teardown(() => rmSync(dir, { recursive: true }))
    const replace: Record<string, string> = {}
    for (const [name, content] of Object.entries(vendor.files ?? {})) {
      const path = join(dir, name.replaceAll('/', '-'))
      writeFileSync(path, { '<service account>': SERVICE_ACCOUNT, '<private key>': PEM }[content] ?? content)
      replace[name] = path
    }
    const wrong: string[] = []
    const env = await startVendor(t, vendor, wrong)
    const output = await runRecipe(t, { page: vendor.page, replace, env }).catch(
      (error: Error) => error.message,
    )
    t.same(wrong, [], 'all is as the vendor wants it')
    t.match(output, /✓ \w+: Everything works/)
    t.match(output, 'Hello yourself')
  })
