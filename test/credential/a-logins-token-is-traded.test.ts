/** What becomes of a login's token that is traded, and of what it was traded for, as the login is renewed. */
import t, { type Test } from 'tap'
import { NoKeys } from '../../src/aws/aws-question.ts'
import { MINUTE } from '../../src/base/clock.ts'
import type { Credential } from '../../src/credential/credential.ts'
import type { Fetched } from '../../src/credential/local-fetch.ts'
import { LocalKeys } from '../../src/credential/local-keys.ts'
import type { Refresher } from '../../src/credential/refresh.ts'
import type { Outcome } from '../../src/credential/refresh-step.ts'
import { createTrade } from '../../src/credential/two-step.ts'
import { filled } from '../provider/fixtures/file.ts'
import { openWire, type Wire } from '../provider/fixtures/wire.ts'
import { type Changes, credential } from './fixtures/credential.ts'

const NOW = 1_800_000_000_000
const HOUR = 60 * MINUTE

const provider = (project: string) =>
  filled(
    {
      ...{ credential: 'device_code', inputs: { project: {} } },
      authorization_server: { issuer: 'https://login.example', client_id: 'c' },
      token_request: [
        {
          ...{ method: 'GET', url: 'https://vendor.example/step', query: { project: '{project}' } },
          headers: { authorization: 'token {login.token}' },
          response: { token: '/token' },
        },
      ],
    },
    { project },
  )
const PROVIDER = provider('a')

/** One that was renewed a while ago. */
function login(changes: Changes = {}): Credential {
  const old = { receivedAt: NOW - MINUTE, expiresAt: NOW + HOUR, ...changes.tokens }
  return credential({ provider: PROVIDER, ...changes, tokens: old })
}

const NEWER = login({ version: 2, tokens: { accessToken: 'access-2', receivedAt: NOW } })
const GIVEN = { body: JSON.stringify({ token: 'traded' }) }
const REFUSED = { status: 401, body: JSON.stringify({ error: 'bad_credentials' }) }
const AWAY = { status: 503, body: '{}' }

async function traded(
  t: Test,
  one: Credential,
  answers: Wire['answers'],
  outcome: Outcome,
  wasRefused = false,
) {
  const wire = await openWire(t)
  wire.answers = answers
  const renewed: [configId: string, isForced: boolean][] = []
  const refresh: Refresher['refresh'] = ({ configId }, isForced = false) => {
    renewed.push([configId, isForced])
    return { startedAt: NOW, outcome: Promise.resolve(outcome), done: Promise.resolve() }
  }
  const asking = (row: Credential) => ({
    provider: row.provider,
    dispatcher: wire.dispatcher,
    clock: () => NOW,
  })
  const trade = createTrade(asking, { refresh }, () => NOW)
  const renewal = await trade(one, wasRefused).catch((error: unknown) => error)
  const tokens = wire.requests.map((request) => /token (access-\d)/.exec(request)?.[1])
  return { renewal, renewed, tokens }
}

const RENEWED: Outcome = { kind: 'renewed', credential: NEWER }
const UNCHANGED: Outcome = { kind: 'unchanged', why: 'backing off', retryAt: undefined }

const TRADES: [
  name: string,
  given: [login: Credential, answers: Wire['answers'], outcome?: Outcome, wasRefused?: boolean],
  expected: object,
  tokens: string[],
  renewals: number,
][] = [
  ['taken', [login(), [GIVEN]], { kind: 'tokens' }, ['access-1'], 0],
  ['refused: renewed first', [login(), [REFUSED, GIVEN]], { kind: 'tokens' }, ['access-1', 'access-2'], 1],
  ['refused twice', [login(), [REFUSED, REFUSED]], { kind: 'refused' }, ['access-1', 'access-2'], 1],
  ['refused before', [login(), [REFUSED], RENEWED, true], { kind: 'refused' }, ['access-1'], 0],
  ['new, and refused', [NEWER, [REFUSED]], { kind: 'refused' }, ['access-2'], 0],
  [
    'refused, and nothing renews it',
    [login({ tokens: { refreshToken: undefined } }), [REFUSED]],
    { kind: 'refused' },
    ['access-1'],
    0,
  ],
  ['its server is away', [login(), [AWAY]], { kind: 'not_processed' }, ['access-1'], 0],
  [
    'refused, and cannot be renewed now',
    [login(), [REFUSED], UNCHANGED],
    new NoKeys('backing off', false),
    ['access-1'],
    1,
  ],
  [
    'refused, and over',
    [login(), [REFUSED], { kind: 'reauth_required' }],
    new NoKeys('the login is over', false),
    ['access-1'],
    1,
  ],
]

for (const [name, [one, answers, outcome = RENEWED, wasRefused], expected, tokens, renewals] of TRADES) {
  t.test(name, async (t) => {
    const found = await traded(t, one, answers, outcome, wasRefused)
    t.match(found.renewal, expected)
    t.same(found.tokens, tokens)
    t.same(
      found.renewed,
      Array.from({ length: renewals }, () => ['config-1', true]),
    )
  })
}

/** Trades as the test says, and tells what was traded. */
function scene() {
  const clock = { now: NOW }
  const asked: [token: string, wasRefused: boolean][] = []
  const says: { next: string | NoKeys } = { next: 'A' }
  const get = async (row: Credential, wasRefused: boolean): Promise<Fetched> => {
    asked.push([row.tokens.accessToken, wasRefused])
    if (says.next instanceof NoKeys) throw says.next
    return { tokens: { ...row.tokens, accessToken: says.next, expiresAt: clock.now + HOUR } }
  }
  const local = new LocalKeys(
    get,
    async () => {},
    async () => undefined,
    () => clock.now,
  )
  const usable = async (row: Credential) => (await local.usable(row, 1_000)).tokens.accessToken
  return { clock, asked, says, local, usable }
}

t.test('what was traded stays while the login is renewed, and no longer than the login', async (t) => {
  const { asked, says, local, usable } = scene()
  t.equal(await usable(login()), 'A')
  says.next = 'B'
  t.equal(await usable(NEWER), 'A', 'renewed')
  t.match(local.peek(NEWER), { version: 2, tokens: { accessToken: 'A' } })
  t.equal(await usable(login()), 'A', 'as it was read before that')
  t.match(local.peek(NEWER), { version: 2 })
  t.equal(await usable(login({ loginAt: 1 })), 'B', 'another login')
  t.equal(await usable(login({ loginAt: 1, provider: provider('b') })), 'B', 'other inputs')
  t.equal(asked.length, 3)
})

t.test('a login that was renewed since is traded at once; one that was not waits', async (t) => {
  const { clock, asked, says, usable } = scene()
  says.next = new NoKeys('no', true)
  const refused = { code: 'credential_refused' }
  await t.rejects(usable(login()), refused)
  await t.rejects(usable(NEWER), refused)
  t.same(asked, [['access-1', false]], 'what was renewed before it was refused is no news')
  clock.now += 31_000
  await t.rejects(usable(NEWER), refused)
  t.same(asked.at(-1), ['access-2', true])
  const renewed = login({ version: 3, tokens: { accessToken: 'access-3', receivedAt: clock.now + 1 } })
  says.next = 'A'
  t.equal(await usable(renewed), 'A')
  t.same(asked.at(-1), ['access-3', false])
})

t.test('what is handed out is never taken for the login', async (t) => {
  const { asked, local, usable } = scene()
  await usable(login())
  const handedOut = local.living(login())
  if (!handedOut) throw new Error('nothing')
  await local.afterRefusal(handedOut, handedOut, 1_000)
  t.same(asked, [
    ['access-1', false],
    ['access-1', false],
  ])
})
