/**
 * The pure function behind every refresh, as tables: each phase × each event.
 */
import t from 'tap'
import type { Credential, CredentialState } from '../../src/credential/credential.ts'
import type { Ahead } from '../../src/credential/knowledge.ts'
import { MAX_WATCH_MS, RESTORED_WITHIN_MS, transition } from '../../src/credential/refresh-machine.ts'
import type { Cause, Event, Phase } from '../../src/credential/refresh-step.ts'
import type { Renewal } from '../../src/oauth/refresh-token-grant.ts'
import type { TokenSet } from '../../src/oauth/token-response.ts'
import { changed, credential } from './fixtures/credential.ts'

const NOW = 1_000_000
const row = credential({ version: 1, tokens: { expiresAt: NOW + 60_000 } })
const newer = credential({ version: 2 })
const tokens: TokenSet = {
  accessToken: 'access-2',
  refreshToken: 'refresh-2',
  tokenType: 'Bearer',
  scope: undefined,
  expiresAt: NOW + 120_000,
  receivedAt: NOW,
  metadata: {},
}
const cause: Cause = { loginAt: 0, version: 1, isForced: false }
const read = (row: Credential | undefined, fields: { now?: number; waitedMs?: number } = {}): Event => ({
  type: 'row',
  row,
  now: NOW,
  waitedMs: 0,
  ...fields,
})

const unsent = (row: Credential, unsentFrom: CredentialState): Event => ({
  ...{ type: 'row', row, now: NOW, waitedMs: 0 },
  unsentFrom,
})

/** `phase/action`, `settled:outcome`, or why it cannot be. */
function stepOf(phase: Phase, event: Event, from: Cause = cause): string {
  try {
    const { phase: next, action } = transition(from, phase, event)
    if (next.at === 'settled') return `settled:${next.outcome.kind}`
    if (action.do === 'release') return `${next.at}/release to ${action.state}`
    return `${next.at}/${action.do}`
  } catch (error) {
    return String((error as Error).message).replace(/^refresh: .* while .*$/, 'impossible')
  }
}

const STORAGE_FAILED: Event = {
  ...{ type: 'storage_failed', why: 'storage_unavailable' },
  ...{ now: NOW, known: undefined },
}

const EVENTS: Record<string, Event> = {
  row: read(row),
  unprepared: { type: 'unprepared', why: 'the journal cannot be written' },
  lease_granted: { type: 'lease_granted' },
  lease_refused: { type: 'lease_refused' },
  lease_lapsed: { type: 'lease_lapsed' },
  server_away: { type: 'server_away', retryAt: NOW + 1 },
  'journal: found': { type: 'journal_replayed', found: true },
  'journal: empty': { type: 'journal_replayed', found: false },
  answered: { type: 'answered', renewal: { kind: 'tokens', tokens }, now: NOW },
  kept: { type: 'kept', credential: newer },
  stored: { type: 'stored', credential: newer },
  superseded: { type: 'superseded' },
  cleared: { type: 'cleared', done: true },
  restored: { type: 'restored', done: true, now: NOW },
  'not restored': { type: 'restored', done: false, now: NOW },
  'not cleared': { type: 'cleared', done: false },
  released: { type: 'released', retryAt: NOW + 1 },
  storage_failed: STORAGE_FAILED,
}

const PHASES: Record<string, Phase> = {
  deciding: { at: 'deciding' },
  watching: { at: 'watching' },
  recovering: { at: 'recovering', row: { ...row, state: 'refreshing' } },
  claiming: { at: 'claiming', row },
  sending: { at: 'sending', row },
  storing: { at: 'storing', row },
  confirming: { at: 'confirming', row, why: 'invalid_grant' },
  clearing: { at: 'clearing', row },
  restoring: { at: 'restoring', row, credential: changed(newer, { tokens: { expiresAt: NOW + 1 } }) },
  'releasing to settle': { at: 'releasing', why: 'status 503', next: 'settle' },
  'releasing to decide': { at: 'releasing', why: 'lapsed', next: 'decide' },
}

/** What can happen in each phase; everything else is a mistake of the driver. */
const EXPECTED: Record<string, Record<string, string>> = {
  deciding: { row: 'claiming/claim_lease' },
  watching: { row: 'claiming/claim_lease' },
  recovering: { 'journal: found': 'deciding/read_row', 'journal: empty': 'releasing/release to uncertain' },
  claiming: {
    lease_granted: 'sending/send',
    lease_refused: 'watching/read_row',
    unprepared: 'settled:unchanged',
    storage_failed: 'releasing/release to active', // it may have been granted all the same
    server_away: 'settled:unchanged',
  },
  sending: { lease_lapsed: 'releasing/release to active', answered: 'storing/keep' },
  storing: {
    kept: 'storing/store',
    stored: 'settled:renewed',
    superseded: 'deciding/read_row',
    storage_failed: 'storing/store',
  },
  confirming: { row: 'clearing/clear' },
  restoring: {
    restored: 'settled:renewed',
    'not restored': 'deciding/read_row',
    storage_failed: 'settled:renewed', // from memory
  },
  clearing: { cleared: 'settled:reauth_required', 'not cleared': 'deciding/read_row' },
  'releasing to settle': { released: 'settled:unchanged' },
  'releasing to decide': { released: 'deciding/read_row' },
}

for (const [phaseName, phase] of Object.entries(PHASES)) {
  t.test(`${phaseName}: every event`, async (t) => {
    for (const [eventName, event] of Object.entries(EVENTS)) {
      const got = stepOf(phase, event)
      const expected =
        EXPECTED[phaseName]?.[eventName] ?? (eventName === 'storage_failed' ? 'settled:unchanged' : undefined)
      if (expected) t.equal(got, expected, eventName)
      else t.not(got, 'sending/send', `${eventName} must not send`)
    }
  })
}

t.test('settled is the end', async (t) => {
  const phase: Phase = { at: 'settled', outcome: { kind: 'reauth_required' } }
  for (const event of Object.values(EVENTS)) t.same(transition(cause, phase, event).phase, phase)
})

const forced: Cause = { ...cause, isForced: true }
const onlyRestores: Cause = { ...cause, onlyRestores: true }
const uncertain: Credential = { ...row, state: 'uncertain' }
const leased = changed(row, { state: 'refreshing', attempt: { leaseIsLive: true } })
const ROWS: [name: string, event: Event, expected: string, cause?: Cause][] = [
  ['no row', read(undefined), 'settled:reauth_required'],
  ['a cleared one', read({ ...row, state: 'reauth_required' }), 'settled:reauth_required'],
  ['one that never had a login', read({ ...row, state: 'missing' }), 'settled:reauth_required'],
  ['a newer version', read(newer), 'settled:renewed'],
  [
    'a newer version under refresh',
    read(changed(newer, { state: 'refreshing', attempt: { leaseIsLive: true } })),
    'settled:renewed',
  ],
  ['a live lease', read(leased), 'watching/wait_and_read'],
  ['a live lease, watched for long enough', read(leased, { waitedMs: MAX_WATCH_MS }), 'settled:unchanged'],
  ['a lease that ran out', read({ ...row, state: 'refreshing' }), 'recovering/replay_journal'],
  [
    'a live lease under which this process never sent anything',
    unsent(leased, 'active'),
    'releasing/release to active',
  ],
  [
    'such a lease that has run out',
    unsent({ ...row, state: 'refreshing' }, 'active'),
    'releasing/release to active',
  ],
  ['such a lease of an uncertain row', unsent(leased, 'uncertain'), 'releasing/release to uncertain'],
  ['back-off', read(changed(row, { attempt: { nextAt: NOW + 1 } })), 'settled:unchanged'],
  [
    'back-off to the very millisecond',
    read(changed(row, { attempt: { nextAt: NOW } })),
    'claiming/claim_lease',
  ],
  ['back-off, forced', read(changed(row, { attempt: { nextAt: NOW + 1 } })), 'claiming/claim_lease', forced],
  ['uncertain, token usable', read(uncertain), 'settled:unchanged'],
  [
    'uncertain, token ended',
    read(changed(uncertain, { tokens: { expiresAt: NOW } })),
    'recovering/replay_journal',
  ],
  ['uncertain, token refused by upstream', read(uncertain), 'recovering/replay_journal', forced],
  ['active', read(row), 'claiming/claim_lease'],
]

/** The row is older than what is known. */
const behind = (row: Credential, ahead: Partial<Ahead>, now = NOW): Event => ({
  ...{ type: 'row', row, now, waitedMs: 0 },
  ahead: { credential: undefined, isOver: false, forMs: 0, ...ahead },
})
const ended = changed(row, { tokens: { expiresAt: NOW } })
const WAITED = { forMs: RESTORED_WITHIN_MS }
const OUTDATED: [name: string, event: Event, expected: string, cause?: Cause][] = [
  ['tokens at hand', behind(row, { credential: newer }), 'restoring/restore'],
  ['tokens at hand, forced', behind(row, { credential: newer }), 'restoring/restore', forced],
  [
    'tokens at hand, somebody is refreshing the old ones',
    behind(leased, { credential: newer }),
    'restoring/restore',
  ],
  ['no tokens, the old access token lives', behind(row, WAITED), 'settled:unchanged'],
  ['no tokens, it has just ended', behind(ended, { forMs: RESTORED_WITHIN_MS - 1 }), 'settled:unchanged'],
  ['no tokens, and nobody put it right', behind(ended, WAITED), 'clearing/ask_for_login'],
  ['no tokens, upstream refuses it', behind(row, WAITED), 'clearing/ask_for_login', forced],
  ['the login had ended', behind(row, { isOver: true }), 'clearing/ask_for_login'],
  ['a person was asked already', behind({ ...row, state: 'reauth_required' }, {}), 'settled:reauth_required'],
  ['as it should be, and only that was asked', read(row), 'settled:unchanged', onlyRestores],
  ['put right by somebody else', read(newer), 'settled:renewed', onlyRestores],
  ['a newer login at a lower version', read({ ...row, loginAt: 1, version: 0 }), 'settled:renewed'],
]

t.test('deciding and watching: a row that went back in time is never sent', async (t) => {
  for (const [name, event, expected, from] of OUTDATED) {
    for (const at of ['deciding', 'watching'] as const) t.equal(stepOf({ at }, event, from), expected, name)
  }
})

t.test('restoring: what was stored again and is due all the same goes on to be refreshed', async (t) => {
  const phase: Phase = { at: 'restoring', row, credential: changed(newer, { tokens: { expiresAt: NOW } }) }
  const restored: Event = { type: 'restored', done: true, now: NOW }
  t.equal(stepOf(phase, restored), 'deciding/read_row')
  t.equal(stepOf(phase, restored, onlyRestores), 'settled:renewed')
  t.equal(stepOf({ ...phase, credential: newer }, restored, forced), 'deciding/read_row')
})

t.test('deciding and watching: what a row asks for', async (t) => {
  for (const [name, event, expected, from] of ROWS) {
    for (const at of ['deciding', 'watching'] as const) t.equal(stepOf({ at }, event, from), expected, name)
  }
})

const ANSWERS: [name: string, renewal: Renewal, fromActive: string, fromUncertain: string][] = [
  ['tokens', { kind: 'tokens', tokens }, 'storing/keep', 'storing/keep'],
  ['invalid_grant', { kind: 'invalid_grant', why: '' }, 'confirming/read_row', 'confirming/read_row'],
  [
    'not processed',
    { kind: 'not_processed', why: '', retryAfterMs: 1 },
    'releasing/release to active',
    'releasing/release to uncertain',
  ],
  [
    'unclear',
    { kind: 'unclear', why: '' },
    'releasing/release to uncertain',
    'releasing/release to uncertain',
  ],
  [
    'unmoved',
    { kind: 'unmoved', why: '', retryAfterMs: 1, isEnding: true },
    'releasing/release to active',
    'releasing/release to active',
  ],
]

t.test('sending: what an answer leads to', async (t) => {
  for (const [name, renewal, fromActive, fromUncertain] of ANSWERS) {
    const event: Event = { type: 'answered', renewal, now: NOW }
    t.equal(stepOf({ at: 'sending', row }, event), fromActive, name)
    t.equal(stepOf({ at: 'sending', row: uncertain }, event), fromUncertain, `${name}, from uncertain`)
  }
})

t.test('confirming: only the refresh token that was refused is cleared', async (t) => {
  const phase: Phase = { at: 'confirming', row, why: 'invalid_grant' }
  t.equal(stepOf(phase, read(newer)), 'settled:renewed', 'somebody logged in meanwhile')
  t.equal(stepOf(phase, read(undefined)), 'settled:reauth_required', 'the config is gone')
  t.equal(stepOf(phase, read(row)), 'clearing/clear')
})

t.test('a row that stays uncertain after its journal was looked through is tried once more', async (t) => {
  const event: Event = { type: 'journal_replayed', found: false }
  t.equal(stepOf({ at: 'recovering', row: uncertain }, event), 'claiming/claim_lease')
})

t.test('an unacknowledged claim is given back as it was found, and nothing more is tried', async (t) => {
  for (const state of ['active', 'uncertain'] as const) {
    const phase: Phase = { at: 'claiming', row: { ...row, state } }
    const step = transition(cause, phase, STORAGE_FAILED)
    t.match(step, { phase: { next: 'settle' }, action: { do: 'release', state, backsOff: false } })
    t.equal(stepOf(step.phase, STORAGE_FAILED), 'settled:unchanged')
  }
})

t.test('back-off and Retry-After are handed on', async (t) => {
  const renewal: Renewal = { kind: 'not_processed', why: 'status 429', retryAfterMs: 90_000 }
  const step = transition(cause, { at: 'sending', row }, { type: 'answered', renewal, now: NOW })
  t.match(step.action, { do: 'release', backsOff: true, retryAfterMs: 90_000, why: 'status 429' })
  const lapsed = transition(cause, { at: 'sending', row }, { type: 'lease_lapsed' })
  t.match(lapsed.action, { do: 'release', backsOff: false })
})
