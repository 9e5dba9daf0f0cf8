/** What journals hold at a start, an answer of each of very many credentials, and what others do while it is read. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Secret } from '../../src/base/secret.ts'
import { Journal } from '../../src/credential/journal.ts'
import { generateFernetKey } from '../../src/vault/fernet.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'

const CREDENTIALS = 3_000
const ring = new KeyRing([new Secret(generateFernetKey())])

function keep(journal: Journal, configId: string): void {
  const tokens = {
    accessToken: `access-${configId}`.padEnd(200, '.'),
    refreshToken: `refresh-${configId}`,
    tokenType: 'Bearer',
    scope: undefined,
    expiresAt: 1,
    receivedAt: 0,
    metadata: {},
  }
  journal.keep({ attemptId: configId, configId, loginAt: 0, fromVersion: 1, tokens, at: Date.now() })
}

t.test('others have their turns meanwhile, and what is written then is read with it', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'token-broker-journal-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const before = new Journal(dir, ring)
  for (let index = 0; index < CREDENTIALS; index += 1) keep(before, `config-${index}`)
  const journal = new Journal(dir, ring)
  let turns = 0
  const count = () => {
    turns += 1
    if (!journal.isRead) setImmediate(count)
  }
  setImmediate(count)
  const read = journal.whenRead()
  t.equal(journal.isRead, false)
  keep(before, 'meanwhile')
  await read
  t.equal(journal.isRead, true)
  t.ok(turns >= 3, `others had ${turns} turns`)
  t.equal(journal.standings().size, CREDENTIALS + 1)
})
