import type { Test } from 'tap'
import { BUILT_IN_ENCRYPTION_KEY } from '../../src/base/encryption-keys.ts'
import { FernetKey, generateFernetKey } from '../../src/vault/fernet.ts'
import { startProcess } from '../support/broker-process.ts'
import { waitUntil } from '../support/wait-until.ts'
import { type Open, requirement } from './requirement.ts'
import { ENCRYPTION_KEY } from './stage.ts'

async function storeTokens(open: Open) {
  const stage = await open()
  const { session_id, token } = await stage.logIn()
  const { id } = (await stage.createConfig({ oauth_session_id: session_id })).body
  return { ...stage, id, token, stored: await stage.row(id) }
}

function isSealed(t: Test, sealed: string | null, plain: string): void {
  t.match(sealed, /^gAAAAA[\w-]+=*$/, 'a Fernet token, version 0x80')
  t.notOk(sealed?.includes(plain))
  t.equal(new FernetKey(ENCRYPTION_KEY).decrypt(sealed ?? ''), plain)
  t.equal(new FernetKey(generateFernetKey()).decrypt(sealed ?? ''), undefined, 'no other key opens it')
}

requirement('Token 加密存储', {
  '存储前加密 access_token': async (t, open) => {
    const { stored, token } = await storeTokens(open)
    isSealed(t, stored.oauth_access_token, token.access_token)
  },

  '存储前加密 refresh_token': async (t, open) => {
    const { stored, token } = await storeTokens(open)
    isSealed(t, stored.oauth_refresh_token, token.refresh_token)
  },

  '读取时解密 token': async (t, open) => {
    const { broker, id, token, stored, row, setRow, createKey, complete, replica } = await storeTokens(open)
    const key = await createKey()
    t.equal((await complete(key)).status, 200)
    const seen = () => broker.sandbox.counts.lastUpstreamRequest?.headers.authorization
    t.equal(seen(), `Bearer ${token.access_token}`)

    // refresh_token: what arrives at the server is good for a refresh.
    t.equal((await broker.admin('POST', `/api/models/configs/${id}/refresh`)).status, 200)
    await waitUntil(async () => (await row(id)).oauth_version === 2)
    t.equal(broker.sandbox.counts.refreshGrants, 1)

    const sealed = stored.oauth_access_token ?? ''
    const tampered = sealed.slice(0, -5) + (sealed.at(-5) === 'A' ? 'B' : 'A') + sealed.slice(-4)
    await setRow(id, { oauth_access_token: tampered })
    const other = await replica()
    const answer = await complete(key, other)
    t.match(answer, { status: 503, body: { error: { code: 'decryption_failed' } } })
    t.equal(
      (await broker.admin('GET', `/api/models/configs/${id}`)).status,
      200,
      'the item can still be seen',
    )
  },

  'TOKEN_ENCRYPTION_KEY 未配置时使用默认值': async (t, _open, { url }) => {
    const broker = await startProcess(t, { env: { DATABASE_URL: url } })
    const line = await broker.untilSaid(/^(.*TOKEN_ENCRYPTION_KEY.*)$/m)
    t.match(JSON.parse(line), { level: 'warn', setting: 'TOKEN_ENCRYPTION_KEY' })
    t.notOk(line.includes(BUILT_IN_ENCRYPTION_KEY))
    const key = new FernetKey(BUILT_IN_ENCRYPTION_KEY)
    t.equal(key.decrypt(key.encrypt('it is a valid key')), 'it is a valid key')
  },
})
