/**
 * While an authorization server is away one refresh at a time asks for it, and soon after its return all go on.
 */
import t, { type Test } from 'tap'
import { createLog } from '../../src/base/log.ts'
import { CredentialCache } from '../../src/credential/credential-cache.ts'
import type { CredentialStore } from '../../src/credential/credential-store.ts'
import type { Journal } from '../../src/credential/journal.ts'
import { Knowledge } from '../../src/credential/knowledge.ts'
import { Refresher } from '../../src/credential/refresh.ts'
import { RefusedSources } from '../../src/credential/refused-sources.ts'
import { type Asked, ServerProbes } from '../../src/credential/server-probe.ts'
import type { Renewal } from '../../src/oauth/refresh-token-grant.ts'
import { type Answer, type Broker, call, startBroker } from '../support/broker.ts'
import { addLogin, providerLine, startTokenServer, type TokenServer } from '../support/token-server.ts'
import { waitUntil } from '../support/wait-until.ts'
import { credential } from './fixtures/credential.ts'

const AWAY: Renewal = {
  kind: 'not_processed',
  why: 'ECONNREFUSED',
  retryAfterMs: undefined,
  isServerAway: true,
}
const REFUSED: Renewal = { kind: 'not_processed', why: 'invalid_scope', retryAfterMs: undefined }
const UNCLEAR: Renewal = { kind: 'unclear', why: 'status 503' }
const DEAD: Renewal = { kind: 'invalid_grant', why: 'revoked' }

function probesAt() {
  const clock = { now: 0 }
  const probes = new ServerProbes([], () => clock.now)
  const turn = (name: string) => probes.turn(asked(name), () => 'caller')
  const found = async (renewal: Renewal | undefined) => (await turn('s'))?.end(renewal)
  return { clock, probes, turn, found }
}

t.test('while the server is there nobody waits for anybody, up to 32 at once', async (t) => {
  const { turn } = probesAt()
  const turns = await Promise.all(Array.from({ length: 32 }, () => turn('s')))
  t.ok(turns.every(Boolean))
  let isIn = false
  const next = turn('s').then((turn) => {
    isIn = true
    return turn
  })
  t.ok(await turn('another server'))
  t.equal(isIn, false)
  turns[0]?.end(UNCLEAR)
  t.ok(await next)
})

t.test(
  'one that finds it away lets the next one look at once; from then on it is one each 5 s',
  async (t) => {
    const { clock, probes, turn, found } = probesAt()
    await found(AWAY)
    t.equal(probes.isHeld(asked('s')), false, 'the first may have met an exception')
    await found(AWAY)
    t.equal(probes.isHeld(asked('s')), true)
    t.equal(await turn('s'), undefined, 'and nobody is kept waiting')
    t.equal(probes.retryAfterMs(asked('s')), 5_000)
    t.equal(probes.isHeld(asked('another server')), false)
    clock.now = 4_999
    t.equal(await turn('s'), undefined)
    clock.now = 5_000
    const probe = await turn('s')
    t.ok(probe)
    t.equal(probes.isHeld(asked('s')), true, 'one at a time')
    const others = Promise.all(Array.from({ length: 5 }, () => turn('s')))
    probe?.end(AWAY)
    t.same(await others, Array(5).fill(undefined), 'they go without')
  },
)

for (const [name, renewal] of Object.entries({ 'a refusal of one': REFUSED, 'a dead login': DEAD })) {
  t.test(`${name} shows that the server is back: all who waited go on`, async (t) => {
    const { clock, probes, turn, found } = probesAt()
    await found(AWAY)
    const probe = await turn('s')
    const others = Array.from({ length: 40 }, () => turn('s'))
    probe?.end(renewal)
    clock.now += 1
    t.equal(probes.isHeld(asked('s')), false)
    const turns = await Promise.all(others.slice(0, 32))
    t.ok(turns.every(Boolean))
    const last = await Promise.race([others[32], Promise.resolve('waits for its turn')])
    t.equal(last, 'waits for its turn', 'though not all at once')
    turns[0]?.end(DEAD)
    t.ok(await others[32])
  })
}

t.test('what is unclear, or was never sent, changes nothing', async (t) => {
  const { clock, probes, found } = probesAt()
  await found(UNCLEAR)
  t.equal(probes.isHeld(asked('s')), false)
  await found(AWAY)
  await found(undefined)
  t.equal(probes.isHeld(asked('s')), false, 'another may probe instead')
  await found(UNCLEAR)
  t.equal(probes.isHeld(asked('s')), true)
  clock.now += 5_000
  t.equal(probes.isHeld(asked('s')), false)
})

function asked(name: string): Asked {
  const authorizationServer = { tokenEndpoint: `https://${name.replaceAll(' ', '-')}.example/token` }
  const refresh = { atOnce: 32, perSecond: undefined }
  return { name, refresh, authorizationServer, webSession: undefined } as unknown as Asked
}

/** A refresher over one row in memory, and a server that is asked for nothing. */
function refresherOver(row: { nextAttemptAt: number }, clock: () => number, renewal: Renewal): Refresher {
  const store = {
    load: async () => credential({ tokens: { expiresAt: 1 }, attempt: { nextAt: row.nextAttemptAt } }),
    claimLease: async () => true,
    release: async (_: unknown, __: string, { nextAttemptAt }: { nextAttemptAt: number }) => {
      row.nextAttemptAt = nextAttemptAt
      return true
    },
  }
  const journal = { isRead: true, begin() {}, pending: () => [], done() {}, last() {} } as unknown as Journal
  return new Refresher({
    store: store as unknown as CredentialStore,
    journal,
    knowledge: new Knowledge(new CredentialCache({ seen: 0, hasChanged: () => false }), journal),
    changes: { seen: 0 },
    clock,
    log: createLog('silent'),
    owner: 'me',
    refusedSources: new RefusedSources(async () => undefined),
    providers: new Map(),
    renew: async () => renewal,
    publish() {},
    forget() {},
    settled() {},
  })
}

for (const renewal of [REFUSED, UNCLEAR]) {
  t.test(`after half an hour of "${renewal.kind}" the next try is less than 40 s away`, async (t) => {
    let now = 1_000_000
    const row = { nextAttemptAt: 0 }
    const refresher = refresherOver(row, () => now, renewal)
    const until = now + 30 * 60_000
    for (let tries = 0; now < until; tries += 1) {
      await refresher.refresh({ configId: 'c', loginAt: 0, version: 1 }).done
      const pause = row.nextAttemptAt - now
      t.ok(pause >= 5_000 && pause < 40_000, `${pause} ms after try ${tries}`)
      now = row.nextAttemptAt
    }
  })
}

/** Logins whose tokens have ended, at a server that is away from the start; its models are elsewhere. */
async function openScene(t: Test, count: number, go: (server: TokenServer) => unknown) {
  const [server, models] = [await startTokenServer(t), await startTokenServer(t)]
  const broker = await startBroker(t, {
    config: `allow_insecure_loopback: true\nproviders:\n${providerLine('own', server, { upstream: { base_url: `${models.origin}/v1` } })}\n`,
  })
  await go(server)
  const names = Array.from({ length: count }, (_, index) => `login-${index}`)
  for (const name of names) await addLogin(broker, 'own', name, Date.now() - 1_000)
  const { body } = await broker.admin('POST', '/api/keys', { name: 'all' })
  const complete = (name: string) => completeWith(broker, body.key, name)
  return { broker, server, names, all: () => Promise.all(names.map(complete)) }
}

const completeWith = (broker: Broker, key: string, name: string): Promise<Answer> =>
  call(`${broker.origin}/v1/chat/completions`, 'POST', { model: `${name}/m`, messages: [] }, key)

/** Calls all of them until each has answered. */
async function untilAllAnswer(all: () => Promise<Answer[]>): Promise<void> {
  await waitUntil(async () => (await all()).every(({ status }) => status === 200))
}

const DISTURBANCES: Record<string, { go(server: TokenServer): unknown; come(server: TokenServer): unknown }> =
  {
    'refuses connections': { go: (server) => server.shut(), come: (server) => server.open() },
    'answers 429': {
      go: (server) => {
        server.mood = 'busy'
      },
      come: (server) => {
        server.mood = 'good'
      },
    },
  }

for (const [name, { go, come }] of Object.entries(DISTURBANCES)) {
  t.test(`a server that ${name}: everybody is told to come back soon, and gets an answer then`, async (t) => {
    const { broker, server, all } = await openScene(t, 100, go)
    const early = await all()
    for (const { status, headers, body } of early) {
      t.match({ status, code: body.error?.code }, { status: 503, code: 'refresh_unavailable' })
      const seconds = Number(headers.get('retry-after'))
      t.ok(seconds >= 1 && seconds <= 40, `Retry-After: ${seconds}`)
    }
    // As many as fit side by side before the first had its answer; then one each few seconds.
    const { body } = await broker.admin('GET', '/api/models/configs?page_size=100')
    const states = body.items.map(({ credential }: { credential: { state: string } }) => credential.state)
    const tried = states.filter((state: string) => state === 'cooling_down').length
    t.ok(tried > 0 && tried < 50, `${tried} of ${states.length} asked`)
    server.mostUnderWay = 0
    for (let round = 0; round < 3; round += 1) await all()
    t.ok(server.mostUnderWay <= 1, 'then one at a time')
    await come(server)
    await untilAllAnswer(all)
    t.same(server.reused, [])
    t.ok(server.mostUnderWay <= 32)
  })
}
