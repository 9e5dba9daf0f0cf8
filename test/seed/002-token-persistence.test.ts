import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { Secret } from '../../src/base/secret.ts'
import {
  MySQLTokenPersistence,
  openTokenPersistence,
  SQLiteTokenPersistence,
} from '../../src/credential/persistence/database-token-persistence.ts'
import { TokenPersistence } from '../../src/credential/persistence/token-persistence.ts'
import { QwenTokenManager } from '../../src/credential/qwen-token-manager.ts'
import { RowSeals } from '../../src/credential/row-seals.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { provider } from '../credential/fixtures/credential.ts'
import { requirement } from './requirement.ts'
import { ENCRYPTION_KEY } from './stage.ts'

const TOKENS = {
  accessToken: 'access-token-of-the-command-line',
  refreshToken: 'refresh-token-of-the-command-line',
  tokenType: 'Bearer',
  scope: 'openid',
  expiresAt: Date.now() + 3_600_000,
  receivedAt: Date.now(),
  metadata: { resource_url: 'portal.qwen.ai' },
}

/** A home directory of its own for this test. */
function useEmptyHome(t: Test): string {
  const before = process.env['HOME']
  const home = mkdtempSync(join(tmpdir(), 'token-broker-home-'))
  process.env['HOME'] = home
  t.teardown(() => {
    process.env['HOME'] = before
    rmSync(home, { recursive: true, force: true })
  })
  return home
}

requirement('Token 持久化方式', {
  '系统使用 MySQL 持久化': async (t, open, { kind }) => {
    const { logIn, createConfig, row, tables } = await open()
    const { session_id, token } = await logIn()
    const { id } = (await createConfig({ oauth_session_id: session_id })).body
    const ring = new KeyRing([new Secret(ENCRYPTION_KEY)])
    const persistence = openTokenPersistence(
      tables,
      ring,
      new RowSeals(ring),
      new Map([['qwen', { ...provider(), name: 'qwen' }]]),
    )
    t.ok(persistence instanceof (kind === 'MySQL' ? MySQLTokenPersistence : SQLiteTokenPersistence))
    t.match((await persistence.load(id))?.tokens, {
      accessToken: token.access_token,
      refreshToken: token.refresh_token,
      expiresAt: token.expires_at,
    })
    t.match(await row(id), { name: '通义千问', oauth_access_token: String, oauth_refresh_token: String })
  },

  '保留 JSON 持久化方式': async (t) => {
    const home = useEmptyHome(t)
    const file = join(home, '.one_dragon_alpha', 'qwen_oauth_creds.json')
    const persistence = new TokenPersistence()
    t.equal(persistence.file, file)
    t.equal(await persistence.load(), undefined)
    await persistence.save(TOKENS)
    t.equal(statSync(file).mode & 0o777, 0o600)
    t.same(await new TokenPersistence().load(), TOKENS)
    t.same(readdirSync(join(file, '..')), ['qwen_oauth_creds.json'], 'written beside, then renamed')

    const qwen = { ...provider(), name: 'qwen' }
    const manager = QwenTokenManager.getInstance(qwen)
    t.equal(QwenTokenManager.getInstance(qwen), manager, 'one per process')
    t.equal(await manager.accessToken(), TOKENS.accessToken)
    await manager.logout()
    t.notOk(existsSync(file))
  },

  'MySQL 持久化优先': async (t, open) => {
    const home = useEmptyHome(t)
    const { logIn, createConfig, createKey, complete, row } = await open()
    const { session_id } = await logIn()
    const { id } = (await createConfig({ oauth_session_id: session_id })).body
    t.equal((await complete(await createKey())).status, 200)
    t.ok((await row(id)).oauth_access_token)
    t.same(readdirSync(home), [], 'no JSON file')
  },
})
