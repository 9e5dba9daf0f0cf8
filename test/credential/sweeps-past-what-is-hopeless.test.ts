/** Logins that nothing can be done about, and servers that hang, hold up nobody else's refresh (S4 in short). */
import type { Test } from 'tap'
import t from 'tap'
import type { Database } from '../../src/storage/database.ts'
import { type Broker, startBroker } from '../support/broker.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { insertLogins, LOGINS_KEY, type PlannedLogin, planLogin } from '../support/logins.ts'
import { openTables } from '../support/tables.ts'
import { providerLine, startTokenServer, type TokenServer } from '../support/token-server.ts'
import { waitUntil } from '../support/wait-until.ts'

/** More than a sweep once looked at in one go, so that nobody gets past them. */
const HOPELESS = 250
const HANGING = 120
const HEALTHY = 10

interface Scene {
  readonly broker: Broker
  readonly database: Database
  /** Behind the provider `own`, which is well. */
  readonly server: TokenServer
  /** Behind the provider `a-hangs`, whose requests time out after 10 s. */
  readonly hanging: TokenServer
}

async function openScene(t: Test, kind: TestDatabase): Promise<Scene> {
  const [server, hanging] = [await startTokenServer(t), await startTokenServer(t)]
  hanging.mood = 'hanging'
  const hangs = providerLine('a-hangs', hanging)
  const broker = await startBroker(t, {
    databaseUrl: kind.url,
    env: { TOKEN_ENCRYPTION_KEY: LOGINS_KEY },
    config: `allow_insecure_loopback: true\nproviders:\n${hangs}\n${providerLine('own', server)}\n`,
  })
  return { broker, database: openTables(t, broker, kind), server, hanging }
}

type Kind = Pick<PlannedLogin, 'provider' | 'expiresAt' | 'flaw'>
const many = (count: number, name: string, kind: Kind) =>
  Array.from({ length: count }, (_, index) => planLogin({ ...kind, name: `${name}-${index}` }))

/** Each of these was refreshed. */
function areRefreshed({ server }: Scene, logins: readonly PlannedLogin[]): boolean {
  return logins.every(({ name }) => server.asked.includes(name))
}

const refreshesOf = ({ asked }: TokenServer, name: string) =>
  asked.filter((one) => one.startsWith(name)).length
const unreadable = ({ log }: Broker) => log.filter((line) => line.includes('could not be swept')).length

const CROWDS: Record<string, (now: number) => PlannedLogin[]> = {
  'ended logins without a refresh token': (now) =>
    many(HOPELESS, 'hopeless', { provider: 'own', expiresAt: now - 60_000, flaw: 'no refresh token' }),
  'ended logins that cannot be decrypted': (now) =>
    many(HOPELESS, 'hopeless', { provider: 'own', expiresAt: now - 60_000, flaw: 'sealed with a lost key' }),
  'living logins that cannot be decrypted': (now) =>
    many(HOPELESS, 'hopeless', { provider: 'own', expiresAt: now + 30_000, flaw: 'sealed with a lost key' }),
  'a server that hangs': (now) => many(HANGING, 'stuck', { provider: 'a-hangs', expiresAt: now - 60_000 }),
}

for (const [name, crowd] of Object.entries(CROWDS)) {
  onEachDatabase(t, `healthy logins are refreshed beside ${name}`, async (t, kind) => {
    const scene = await openScene(t, kind)
    const now = Date.now()
    const living = many(HEALTHY, 'living', { provider: 'own', expiresAt: now + 200_000 })
    const ended = many(HEALTHY, 'ended', { provider: 'own', expiresAt: now - 1_000 })
    await insertLogins(scene.database, [...crowd(now), ...living, ...ended])
    // A sweep that waited for those that hang, eight at a time, would be busy for two minutes and a half.
    await waitUntil(() => areRefreshed(scene, [...living, ...ended]))
    t.equal(refreshesOf(scene.server, 'hopeless'), 0)
    t.same(scene.server.reused, [])
  })
}

onEachDatabase(t, 'what cannot be read is looked at again as soon as it was written', async (t, kind) => {
  const scene = await openScene(t, kind)
  const { broker, database, server } = scene
  const soon = Date.now() + 200_000
  const lost = many(3, 'lost', { provider: 'own', expiresAt: soon, flaw: 'sealed with a lost key' })
  await insertLogins(database, lost)
  await waitUntil(() => unreadable(broker) === lost.length)

  const fresh = many(1, 'fresh', { provider: 'own', expiresAt: soon })
  await insertLogins(database, fresh)
  await waitUntil(() => areRefreshed(scene, fresh))
  t.equal(unreadable(broker), lost.length, 'others pass, and it is left alone')

  const [first] = lost
  const { body } = await broker.admin('GET', `/api/models/configs/${first?.id}`)
  const token = {
    access_token: 'access-of-again-0',
    refresh_token: 'again.0',
    expires_at: Date.now() + 200_000,
  }
  const update = { updated_at: body.updated_at, oauth_token: token }
  t.equal((await broker.admin('PUT', `/api/models/configs/${first?.id}`, update)).status, 200)
  await waitUntil(() => server.asked.includes('again'))
  t.equal(unreadable(broker), lost.length)
})
