import t from 'tap'
import { DAY, HOUR, MINUTE } from '../../src/base/clock.ts'
import { isDue, isUsable } from '../../src/credential/credential.ts'
import { type Changes, credential, provider, sessionProvider } from './fixtures/credential.ts'

const END = 1_800_000_000_000

/** Each changes from false to true, or back, between the millisecond before and the one given. */
const DUE_AFTER: [name: string, fields: Changes, instant: number][] = [
  ['handed over: 5 minutes ahead', { tokens: { receivedAt: undefined } }, END - 5 * MINUTE],
  ['a life of an hour: 5 minutes ahead', { tokens: { receivedAt: END - HOUR } }, END - 5 * MINUTE],
  [
    'a life of 10 minutes: 5 minutes are its half',
    { tokens: { receivedAt: END - 10 * MINUTE } },
    END - 5 * MINUTE,
  ],
  ['a life of a minute: its half', { tokens: { receivedAt: END - MINUTE } }, END - MINUTE / 2],
  ['a life of 2 ms: its half', { tokens: { receivedAt: END - 2 } }, END - 1],
  ['before_seconds of the provider file', { provider: provider({ before_seconds: 7 }) }, END - 7_000],
  ['before_seconds 0: at its very end', { provider: provider({ before_seconds: 0 }) }, END],
  ['a session: 3 days ahead', { provider: sessionProvider() }, END - 3 * DAY],
  [
    'a session of 7 days: 3 days ahead',
    { provider: sessionProvider(), tokens: { receivedAt: END - 7 * DAY } },
    END - 3 * DAY,
  ],
  [
    'a session of 4 days: its half',
    { provider: sessionProvider(), tokens: { receivedAt: END - 4 * DAY } },
    END - 2 * DAY,
  ],
  ['refresh_before_days of the provider file', { provider: sessionProvider(1) }, END - DAY],
]

for (const [name, fields, instant] of DUE_AFTER) {
  t.test(`due ${name}`, async (t) => {
    const held = credential({ ...fields, tokens: { expiresAt: END, ...fields.tokens } })
    t.equal(isDue(held, instant - 1), false, '1 ms before')
    t.equal(isDue(held, instant), false, 'at the instant: "less than" is the seed’s word')
    t.equal(isDue(held, instant + 1), true, '1 ms after')
    t.equal(isDue(held, END + DAY), true, 'and for good')
  })
}

t.test('an access token is usable to its last millisecond', async (t) => {
  const held = credential({ tokens: { expiresAt: END } })
  t.equal(isUsable(held, END - 1), true)
  t.equal(isUsable(held, END), false)
  t.equal(isUsable(held, END + 1), false)
})

t.test('one without a known end is never due and always usable', async (t) => {
  const held = credential({ tokens: { expiresAt: undefined } })
  t.equal(isDue(held, Number.MAX_SAFE_INTEGER), false)
  t.equal(isUsable(held, Number.MAX_SAFE_INTEGER), true)
})

t.test('where there is no token, nothing is usable', async (t) => {
  t.equal(isUsable(credential({ tokens: { accessToken: '', expiresAt: undefined } }), 0), false)
})

t.test('one that had ended when it came is due at once', async (t) => {
  const held = credential({ tokens: { expiresAt: END, receivedAt: END + 1 } })
  t.equal(isDue(held, END + 2), true)
  t.equal(isUsable(held, END + 2), false)
})
