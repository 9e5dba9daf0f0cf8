/** Very many credentials that have ended, all called at once: no server is asked more than it bears, and nobody waits in the dark. */
import t, { type Test } from 'tap'
import { type Broker, call, startBroker } from '../support/broker.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { insertLogins, LOGINS_KEY, planLogin } from '../support/logins.ts'
import { openTables } from '../support/tables.ts'
import { providerLine, startTokenServer, type TokenServer } from '../support/token-server.ts'
import { waitUntil } from '../support/wait-until.ts'

/** `CALLERS=2000` for a look by hand. */
const CALLERS = Number(process.env['CALLERS'] ?? 300)

async function openScene(t: Test, kind: TestDatabase, count: number, refresh: object) {
  const server = await startTokenServer(t)
  const broker = await startBroker(t, {
    databaseUrl: kind.url,
    env: { TOKEN_ENCRYPTION_KEY: LOGINS_KEY },
    config: `allow_insecure_loopback: true\nproviders:\n${providerLine('own', server, { refresh })}\n`,
  })
  const names = Array.from({ length: count }, (_, index) => `login-${index}`)
  /** @returns a key over all of them */
  const insert = async () => {
    await insertLogins(
      openTables(t, broker, kind),
      names.map((name) => planLogin({ name, provider: 'own', expiresAt: Date.now() - 1_000 })),
    )
    const { body } = await broker.admin('POST', '/api/keys', { name: 'all' })
    return body.key as string
  }
  return { server, broker, names, insert }
}

/** @returns what each was told in the end, and how long it waited for the first answer */
async function callAll(broker: Broker, key: string, names: readonly string[]) {
  return Promise.all(
    names.map(async (name) => {
      const startedAt = performance.now()
      const body = { model: `${name}/m`, messages: [] }
      const {
        status,
        headers,
        body: said,
      } = await call(`${broker.origin}/v1/chat/completions`, 'POST', body, key)
      const ms = performance.now() - startedAt
      return { name, status, code: said.error?.code, retryAfter: Number(headers.get('retry-after')), ms }
    }),
  )
}

type Told = Awaited<ReturnType<typeof callAll>>[number]

function isServedOrTold({ status, code, retryAfter }: Told): boolean {
  return status === 200 || (status === 503 && code === 'refresh_unavailable' && retryAfter >= 1)
}

const areAsked = ({ asked }: TokenServer, names: readonly string[]) =>
  names.every((name) => asked.includes(name))

onEachDatabase(t, `${CALLERS} callers of ${CALLERS} ended credentials`, async (t, kind) => {
  const { server, broker, names, insert } = await openScene(t, kind, CALLERS, {})
  const key = await insert()
  const told = await callAll(broker, key, names)
  t.same(
    told.filter((one) => !isServedOrTold(one)),
    [],
  )
  const waits = told.map(({ ms }) => ms)
  t.comment(
    `${told.filter(({ status }) => status === 200).length} served, the slowest after ${Math.round(Math.max(...waits))} ms`,
  )
  await waitUntil(() => areAsked(server, names))
  t.ok(server.mostUnderWay <= 32, `${server.mostUnderWay} at once`)
  t.same(server.reused, [])
  t.equal(server.asked.length, names.length)
})

onEachDatabase(
  t,
  'at a server that bears two at once and hangs, each is told to come back',
  async (t, kind) => {
    const { server, broker, names, insert } = await openScene(t, kind, 40, { at_once: 2 })
    server.mood = 'hanging'
    const key = await insert()
    const told = await callAll(broker, key, names)
    for (const one of told) t.match(one, { status: 503, code: 'refresh_unavailable' })
    t.ok(told.every(isServedOrTold))
    t.equal(server.mostUnderWay, 2)
    // All of them at the same time: whoever waits behind somebody who waits would take twice as long.
    t.ok(Math.max(...told.map(({ ms }) => ms)) < 20_000)
  },
)
