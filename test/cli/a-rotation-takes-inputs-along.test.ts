/** `encryption-key rotate`: what accounts say for their inputs is sealed anew, and read with the new key alone. */
import t from 'tap'
import { generateFernetKey } from '../../src/vault/fernet.ts'
import { CONFIGS, create } from '../admin/fixtures/management.ts'
import { configRows } from '../admin/fixtures/rows.ts'
import { secretOf, startTenants, tenantProviders } from '../admin/fixtures/tenants.ts'
import { startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { sitDown } from '../support/desk.ts'

onEachDatabase(t, 'secret inputs are as good under the new key', async (t, database) => {
  const { url: databaseUrl } = database
  const tenants = await startTenants(t)
  const config = tenantProviders(tenants.origin)
  const [old, current] = [generateFernetKey(), generateFernetKey()]
  const DATA_DIR = t.testdir()
  const start = async (TOKEN_ENCRYPTION_KEY: string) => {
    const broker = await startBroker(t, { databaseUrl, config, env: { DATA_DIR, TOKEN_ENCRYPTION_KEY } })
    return { ...broker, dataDir: DATA_DIR }
  }
  const first = await start(old)
  const inputs = { tenant: 'contoso', client_secret: secretOf('contoso') }
  const { id, inputs: shown } = await create(first, { name: 'one', provider: 'tenants', models: [], inputs })
  const [before] = await configRows(t, first, database)
  await first.close()

  const env = { DATA_DIR, DATABASE_URL: databaseUrl, TOKEN_ENCRYPTION_KEY: `${current},${old}` }
  const rotated = await sitDown(t, config).run(['encryption-key', 'rotate'], '', env)
  t.match(rotated, { code: 0, out: /^\d+ values/ })

  const broker = await start(current)
  const [after] = await configRows(t, broker, database)
  t.equal(after?.['inputs'], before?.['inputs'])
  t.not(after?.['inputs_sealed'], before?.['inputs_sealed'])
  const item = (await broker.admin('GET', `${CONFIGS}/${id}`)).body
  const [one, other] = [shown, item.inputs].map(({ client_secret }) => client_secret.fingerprint)
  t.not(one, other, 'of a weak secret a bare hash could be guessed: it is under the key')
  const asked = tenants.heard.length
  t.match(await broker.admin('POST', `${CONFIGS}/${id}/refresh`), {
    status: 200,
    body: { inputs: { tenant: 'contoso', client_secret: { set: true } }, credential: { state: 'active' } },
  })
  const { url, authorization = '' } = tenants.heard[asked] ?? {}
  t.equal(url, '/contoso/token')
  const proof = Buffer.from(authorization.replace('Basic ', ''), 'base64').toString()
  t.equal(decodeURIComponent(proof), `client-contoso:${secretOf('contoso')}`)
})
