/** What is made of a 401 of upstream, by how the refresh it sets off ends. */
import t from 'tap'
import type { BrokerError } from '../../src/base/errors.ts'
import type { Credential } from '../../src/credential/credential.ts'
import { CredentialCache } from '../../src/credential/credential-cache.ts'
import type { CredentialStore } from '../../src/credential/credential-store.ts'
import { Credentials } from '../../src/credential/credentials.ts'
import type { LocalKeys } from '../../src/credential/local-keys.ts'
import type { Flight } from '../../src/credential/refresh.ts'
import type { Outcome } from '../../src/credential/refresh-step.ts'
import { credential } from './fixtures/credential.ts'

const NOW = 500_000
const refused = credential()
const newer = credential({ version: 2, tokens: { accessToken: 'access-2' } })

function credentialsOver(load: () => Promise<Credential | undefined>, outcome: Promise<Outcome>) {
  const clock = { now: NOW }
  let refreshes = 0
  const refresh = (): Flight => {
    refreshes += 1
    return { startedAt: Date.now(), outcome, done: outcome.then(() => undefined) }
  }
  const store = { load, isAway: false } as unknown as CredentialStore
  const credentials = new Credentials(
    new CredentialCache({ seen: 0, hasChanged: () => false }),
    store,
    { refresh, putRight: refresh },
    {} as LocalKeys,
    () => clock.now,
  )
  return { credentials, clock, refreshes: () => refreshes }
}

const unchanged = (fields: Partial<Extract<Outcome, { kind: 'unchanged' }>> = {}): Outcome => ({
  kind: 'unchanged',
  why: 'for a reason',
  retryAt: undefined,
  ...fields,
})

const ENDS: [name: string, outcome: Outcome, expected: object | undefined][] = [
  ['new tokens', { kind: 'renewed', credential: newer }, newer],
  ['a login that is over', { kind: 'reauth_required' }, { code: 'credential_reauth_required' }],
  ['a session that does not move', unchanged({ isUnmoved: true }), undefined],
  ['no word of when', unchanged(), { code: 'refresh_unavailable', retryAfterSeconds: 5 }],
  ['a pause', unchanged({ retryAt: NOW + 2_500 }), { code: 'refresh_unavailable', retryAfterSeconds: 3 }],
  [
    'a pause that is over',
    unchanged({ retryAt: NOW - 1 }),
    { code: 'refresh_unavailable', retryAfterSeconds: 1 },
  ],
  ['a long pause', unchanged({ retryAt: NOW + 9e6 }), { code: 'refresh_unavailable', retryAfterSeconds: 60 }],
]

for (const [name, outcome, expected] of ENDS) {
  t.test(`a refresh that ends with ${name}`, async (t) => {
    const { credentials } = credentialsOver(async () => refused, Promise.resolve(outcome))
    const found = await credentials.afterRefusal(refused).catch((error: unknown) => error)
    if (expected === undefined) t.equal(found, undefined, 'upstream’s own 401 tells it best')
    else t.match(found, expected)
  })
}

t.test(
  'with a database that does not answer, it is still tried, and said within the patience there is',
  async (t) => {
    const never = new Promise<never>(() => {})
    const { credentials, refreshes } = credentialsOver(() => never, never)
    const found = await credentials.afterRefusal(refused, 100).catch((error: unknown) => error)
    t.match(found, { code: 'refresh_unavailable' })
    t.equal(refreshes(), 1)
  },
)

t.test('the same refusal asks again when the time that was told is over, and not before', async (t) => {
  const outcome = Promise.resolve(unchanged({ retryAt: NOW + 4_000 }))
  const { credentials, clock, refreshes } = credentialsOver(async () => refused, outcome)
  const refuse = () => credentials.afterRefusal(refused).catch((error: BrokerError) => error.code)
  t.equal(await refuse(), 'refresh_unavailable')
  clock.now += 3_999
  t.equal(await refuse(), 'refresh_unavailable')
  t.equal(refreshes(), 1)
  clock.now += 1
  t.equal(await refuse(), 'refresh_unavailable')
  t.equal(refreshes(), 2)
})

t.test('what its server refuses is not asked for at each refusal of upstream', async (t) => {
  const held = credential({ state: 'refused', attempt: { nextAt: NOW + 60_000, lastError: 'status 401 no' } })
  const { credentials, clock, refreshes } = credentialsOver(
    async () => held,
    Promise.resolve({ kind: 'refused', why: 'status 401 no', retryAt: NOW + 120_000 }),
  )
  const refuse = () => credentials.afterRefusal(held).catch((error: BrokerError) => error.code)
  for (let seconds = 0; seconds < 60; seconds += 10) {
    t.equal(await refuse(), 'credential_refused')
    clock.now += 10_000
  }
  t.equal(refreshes(), 0)
  t.equal(await refuse(), 'credential_refused')
  t.equal(refreshes(), 1)
})

t.test('nothing to renew it with: nothing is tried', async (t) => {
  const { credentials, refreshes } = credentialsOver(
    async () => credential({ tokens: { refreshToken: undefined } }),
    Promise.resolve(unchanged()),
  )
  t.equal(await credentials.afterRefusal(credential({ tokens: { refreshToken: undefined } })), undefined)
  t.equal(refreshes(), 0)
})
