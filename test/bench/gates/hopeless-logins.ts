/**
 * S4: logins that nothing can be done about, and a server that hangs, beside healthy logins that nobody uses: each
 * of these is refreshed at its moment.
 */
import { openDatabase } from '../../../src/storage/database.ts'
import { insertLogins, LOGINS_KEY, type PlannedLogin, planLogin } from '../../support/logins.ts'
import { providerOf, startTokenServer, type TokenServer } from '../../support/token-server.ts'
import { waitUntil } from '../../support/wait-until.ts'
import { startBroker } from '../broker.ts'
import type { Findings, Gate, Lab } from '../lab.ts'

const HEALTHY = 300
const LEAD_MS = 300_000
/** Their moments lie within so long, from so long after the start. */
const SPREAD_MS = 60_000
const FIRST_AFTER_MS = 20_000
const LATE_MS = 10_000
const GIVE_UP_MS = 180_000

export const hopelessLogins: Gate = {
  id: 'S4',
  title: 'healthy logins beside 1,400 that nothing can be done about',
  async run(lab: Lab): Promise<Findings> {
    const [server, hanging] = [await startTokenServer(lab), await startTokenServer(lab)]
    hanging.mood = 'hanging'
    return measure(lab, server, hanging)
  },
}

async function measure(lab: Lab, server: TokenServer, hanging: TokenServer): Promise<Findings> {
  const broker = await startBroker(lab, {
    providers: { own: providerOf(server), hangs: providerOf(hanging) },
    env: { TOKEN_ENCRYPTION_KEY: LOGINS_KEY },
  })
  const startedAt = Date.now()
  const healthy = planHealthy(startedAt + FIRST_AFTER_MS)
  const database = openDatabase({ dataDir: broker.dataDir, mysqlUrl: undefined })
  await insertLogins(database, [...planHopeless(startedAt), ...healthy.map(({ login }) => login)])
  await database.close()
  lab.say(`S4 the last moment is ${(FIRST_AFTER_MS + SPREAD_MS) / 1000} s away`)
  const isDone = () => healthy.every(({ login }) => server.firstAskedAt.has(login.name))
  await waitUntil(isDone, GIVE_UP_MS).catch(() => lab.say('S4 gave up'))
  await broker.terminate('SIGINT')
  const late = healthy.map(
    ({ login, momentAt }) => (server.firstAskedAt.get(login.name) ?? Infinity) - momentAt,
  )
  const worst = Math.max(...late)
  const seconds = (worst / 1000).toFixed(1)
  const row = {
    what: `${HEALTHY} healthy beside 1,000 without a refresh token, 200 undecryptable, 200 at a server that hangs`,
    figure: `${late.filter(Number.isFinite).length} refreshed, the last ${seconds} s after its moment`,
    required: 'each within 10 s of its moment, which is minutes before its end',
    reached: worst <= LATE_MS && server.reused.length === 0,
  }
  return { rows: [row], notes: [`the server that hangs was asked ${hanging.asked.length} times`] }
}

function planHealthy(firstAt: number): { login: PlannedLogin; momentAt: number }[] {
  return Array.from({ length: HEALTHY }, (_, index) => {
    const login = planLogin({ name: `healthy-${index}`, provider: 'own', expiresAt: 0 })
    const momentAt = firstAt + (index * SPREAD_MS) / HEALTHY
    // Each has its own moment, up to 20 % of the lead time ahead, told by its id.
    const share = Number.parseInt(login.id.slice(0, 4), 16) / 0xffff
    return { login: { ...login, expiresAt: momentAt + LEAD_MS * (1 + share / 5) }, momentAt }
  })
}

function planHopeless(now: number): PlannedLogin[] {
  const ended = now - 60_000
  const living = now + 120_000
  const many = (count: number, name: string, kind: Pick<PlannedLogin, 'provider' | 'expiresAt' | 'flaw'>) =>
    Array.from({ length: count }, (_, index) => planLogin({ ...kind, name: `${name}-${index}` }))
  const lost = 'sealed with a lost key'
  return [
    ...many(1_000, 'ended', { provider: 'own', expiresAt: ended, flaw: 'no refresh token' }),
    ...many(100, 'lost-ended', { provider: 'own', expiresAt: ended, flaw: lost }),
    ...many(100, 'lost-living', { provider: 'own', expiresAt: living, flaw: lost }),
    ...many(100, 'stuck-ended', { provider: 'hangs', expiresAt: ended }),
    ...many(100, 'stuck-living', { provider: 'hangs', expiresAt: living }),
  ]
}
