/**
 * The refresh machine for what costs nothing to ask for a second time: it is never in doubt, a refusal is kept and nothing
 * else is lost with it, and without a database each process helps itself.
 */
import t from 'tap'
import type { Credential } from '../../src/credential/credential.ts'
import type { Ahead } from '../../src/credential/knowledge.ts'
import { MAX_WATCH_MS, transition } from '../../src/credential/refresh-machine.ts'
import type { Cause, Event, Phase } from '../../src/credential/refresh-step.ts'
import type { Renewal } from '../../src/oauth/refresh-token-grant.ts'
import type { TokenSet } from '../../src/oauth/token-response.ts'
import { type Changes, changed, clientProvider, credential, sessionProvider } from './fixtures/credential.ts'

const NOW = 1_000_000
const LIVING = { expiresAt: NOW + 60_000, refreshToken: undefined }
const shared = (changes: Changes = {}) =>
  changed(credential({ provider: clientProvider(), tokens: LIVING }), changes)
const session = (changes: Changes = {}) =>
  changed(credential({ provider: sessionProvider(), tokens: LIVING }), changes)
const ended = { tokens: { expiresAt: NOW } }

const cause: Cause = { loginAt: 0, version: 1, isForced: false }
const forced: Cause = { ...cause, isForced: true }
const onlyRestores: Cause = { ...cause, onlyRestores: true }

const tokens: TokenSet = {
  accessToken: 'access-2',
  refreshToken: undefined,
  tokenType: 'Bearer',
  scope: undefined,
  expiresAt: NOW + 120_000,
  receivedAt: NOW,
  metadata: {},
}

function stepOf(phase: Phase, event: Event, from: Cause = cause): string {
  const { phase: next, action } = transition(from, phase, event)
  if (next.at === 'settled') return `settled:${next.outcome.kind}`
  return action.do === 'release' ? `${next.at}/release to ${action.state}` : `${next.at}/${action.do}`
}

const read = (row: Credential, fields: { waitedMs?: number; ahead?: Ahead } = {}): Event => ({
  ...{ type: 'row', row, now: NOW, waitedMs: 0 },
  ...fields,
})
const lease = { state: 'refreshing', attempt: { id: 'theirs', leaseIsLive: true } } as const
const lapsed = { state: 'refreshing', attempt: { id: 'theirs' } } as const
const refused = {
  state: 'refused',
  attempt: { nextAt: NOW + 1, lastError: 'status 401 invalid_client' },
} as const
const behind = { ahead: { credential: undefined, isOver: false, forMs: 0 } }

const mended = { ...read(shared(refused)), isMended: true } as Event

const ROWS: [name: string, event: Event, expected: string, cause?: Cause][] = [
  ['due', read(shared()), 'claiming/claim_lease'],
  ['a live lease', read(shared(lease)), 'watching/wait_and_read'],
  ['a live lease, for long enough', read(shared(lease), { waitedMs: MAX_WATCH_MS }), 'settled:unchanged'],
  ['a lease that ran out is simply taken', read(shared(lapsed)), 'claiming/claim_lease'],
  ['that of a session: is the answer in a journal?', read(session(lapsed)), 'recovering/replay_journal'],
  ['a session that is uncertain lives', read(session({ state: 'uncertain' })), 'recovering/replay_journal'],
  ['refused, not yet time', read(shared(refused)), 'settled:refused'],
  ['refused, and its files are others now', mended, 'claiming/claim_lease'],
  ['refused, a person asks', read(shared(refused)), 'claiming/claim_lease', forced],
  [
    'refused, to the very millisecond',
    read(shared({ ...refused, attempt: { nextAt: NOW } })),
    'claiming/claim_lease',
  ],
  ['a row that went back', read(shared(), behind), 'claiming/claim_lease'],
  ['a session that went back', read(session(), behind), 'claiming/claim_lease'],
  ['no inputs', read(shared({ state: 'missing' })), 'settled:reauth_required'],
]

t.test('deciding: what a row asks for', async (t) => {
  for (const [name, event, expected, from] of ROWS)
    t.equal(stepOf({ at: 'deciding' }, event, from), expected, name)
})

t.test('a lapsed session whose answer is in no journal is asked again', async (t) => {
  const phase: Phase = { at: 'recovering', row: session(lapsed) }
  t.equal(stepOf(phase, { type: 'journal_replayed', found: false }), 'claiming/claim_lease')
})

const ANSWERS: [name: string, renewal: Renewal, fromActive: string, fromRefused: string][] = [
  ['tokens', { kind: 'tokens', tokens }, 'storing/keep', 'storing/keep'],
  ['lost', { kind: 'unclear', why: '' }, 'releasing/release to active', 'releasing/release to refused'],
  [
    'not processed',
    { kind: 'not_processed', why: '', retryAfterMs: 1 },
    'releasing/release to active',
    'releasing/release to refused',
  ],
  ['refused', { kind: 'refused', why: 'no' }, 'releasing/release to refused', 'releasing/release to refused'],
]

t.test('sending: no answer leaves it in doubt', async (t) => {
  for (const [name, renewal, fromActive, fromRefused] of ANSWERS) {
    const event: Event = { type: 'answered', renewal, now: NOW }
    t.equal(stepOf({ at: 'sending', row: shared() }, event), fromActive, name)
    t.equal(stepOf({ at: 'sending', row: shared(refused) }, event), fromRefused, `${name}, refused before`)
  }
})

t.test('a refusal is told with its reason, also where the server was away in between', async (t) => {
  const released: Event = { type: 'released', retryAt: NOW + 30_000 }
  const first = transition(cause, { at: 'sending', row: shared() }, answered({ kind: 'refused', why: 'no' }))
  t.match(first.action, { why: 'no', backsOff: true })
  t.match(transition(cause, first.phase, released).phase, {
    outcome: { kind: 'refused', why: 'no', retryAt: NOW + 30_000 },
  })
  const away = answered({ kind: 'not_processed', why: 'status 503', retryAfterMs: undefined })
  const second = transition(cause, { at: 'sending', row: shared(refused) }, away)
  t.match(second.action, { why: 'status 401 invalid_client' })
  t.match(transition(cause, second.phase, released).phase, { outcome: { kind: 'refused' } })
  const again = transition(
    cause,
    { at: 'sending', row: shared(refused) },
    answered({ kind: 'refused', why: 'new' }),
  )
  t.match(again.action, { why: 'new' })
})

function answered(renewal: Renewal): Event {
  return { type: 'answered', renewal, now: NOW }
}

t.test('leases are given back as they were found', async (t) => {
  const slept: Event = { type: 'lease_lapsed' }
  t.equal(stepOf({ at: 'sending', row: shared() }, slept), 'releasing/release to active')
  t.equal(stepOf({ at: 'sending', row: shared(lapsed) }, slept), 'releasing/release to active')
  t.equal(stepOf({ at: 'sending', row: shared(refused) }, slept), 'releasing/release to refused')
})

const away = (known: Credential | undefined): Event => ({
  ...{ type: 'storage_failed', why: 'away' },
  ...{ now: NOW, known },
})
const newer = shared({ version: 2 })
const AWAY: [name: string, known: Credential | undefined, expected: string, cause?: Cause][] = [
  ['the token lives', shared(), 'settled:unchanged'],
  ['the token has ended', shared(ended), 'alone/send_alone'],
  ['there was none yet', shared({ tokens: { accessToken: '' } }), 'alone/send_alone'],
  ['upstream refuses it', shared(), 'alone/send_alone', forced],
  ['another flight has brought one', newer, 'settled:renewed'],
  ['and that has ended', changed(newer, ended), 'alone/send_alone'],
  ['nothing is known', undefined, 'settled:unchanged'],
  ['it was only to be put right', shared(ended), 'settled:unchanged', onlyRestores],
  ['a session', session(ended), 'settled:unchanged'],
  ['a login', credential({ tokens: { expiresAt: NOW } }), 'settled:unchanged'],
]

t.test('without a database what has ended is asked for all the same', async (t) => {
  for (const [name, known, expected, from] of AWAY) {
    for (const at of ['deciding', 'watching'] as const)
      t.equal(stepOf({ at }, away(known), from), expected, name)
  }
  t.equal(stepOf({ at: 'claiming', row: shared(ended) }, away(shared(ended))), 'alone/send_alone')
  t.equal(stepOf({ at: 'claiming', row: shared() }, away(shared())), 'releasing/release to active')
  const releasing: Phase = { at: 'releasing', why: 'status 503', next: 'settle' }
  t.equal(stepOf(releasing, away(shared(ended))), 'settled:unchanged', 'it has just been asked')
})

t.test('alone: what comes is kept, and nothing is written', async (t) => {
  const phase: Phase = { at: 'alone', row: shared(ended) }
  t.equal(stepOf(phase, answered({ kind: 'tokens', tokens })), 'alone/keep')
  t.match(transition(cause, phase, { type: 'kept', credential: newer }).phase, {
    outcome: { kind: 'renewed', credential: newer },
  })
  t.match(transition(cause, phase, answered({ kind: 'refused', why: 'no' })).phase, {
    outcome: { kind: 'refused', why: 'no', retryAt: NOW + 30_000 },
  })
  t.match(transition(cause, phase, answered({ kind: 'unclear', why: 'silence' })).phase, {
    outcome: { kind: 'unchanged', why: 'silence', retryAt: NOW + 5_000 },
  })
  t.match(transition(cause, phase, { type: 'server_away', retryAt: NOW + 7 }).phase, {
    outcome: { kind: 'unchanged', retryAt: NOW + 7 },
  })
})

t.test('storing goes on until what was to be stored has ended', async (t) => {
  const row = shared()
  const { phase } = transition(cause, { at: 'storing', row }, { type: 'kept', credential: newer })
  t.equal(stepOf(phase, away(newer)), 'storing/store')
  const late = { ...away(newer), now: newer.tokens.expiresAt ?? 0 } as Event
  t.equal(stepOf(phase, late), 'settled:unchanged')
  const login = transition(
    cause,
    { at: 'storing', row: credential() },
    { type: 'kept', credential: credential() },
  )
  t.equal(stepOf(login.phase, late), 'storing/store', 'a login’s goes on for ever')
})
