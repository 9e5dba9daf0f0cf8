/** What a browser or a person brings that is not the answer of the login: a page that says so, and no tokens. */
import fc from 'fast-check'
import t from 'tap'
import { BUILT_IN_ENCRYPTION_KEY } from '../../src/base/encryption-keys.ts'
import { Secret } from '../../src/base/secret.ts'
import { rowIdOf } from '../../src/onboarding/device-session.ts'
import { DeviceSessionStore } from '../../src/onboarding/device-session-store.ts'
import type { DeviceSessionRow } from '../../src/storage/tables.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { type Answer, call } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { refusing } from '../support/refusing-trigger.ts'
import type { StrictCodeServer } from '../support/strict-code-server.ts'
import { openTables, SEALS } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'
import { approve, type Begun, CALLBACK, comeBack, openCodeStage } from './fixtures/code-login.ts'

const PENDING = { status: 200, body: { status: 'pending' } }

interface Wrong {
  /** What the server sends the browser back with. */
  readonly answer?: (params: URLSearchParams) => void
  readonly fault?: StrictCodeServer['fault']
  /** What became of the address on its way. */
  readonly place?: (place: URL) => void
  readonly cookie?: (begun: Begun) => string
  readonly page: { readonly status: number; readonly body: RegExp }
  /** How the login stands then; by default it is still open. */
  readonly standing?: { readonly status: number; readonly body: object }
  /** Token requests. */
  readonly asked?: number
}

const failed = (status: number, code: string) => ({ status, body: { code } })
const error = (code: string, more: Record<string, string> = {}) => ({
  answer: (params: URLSearchParams) => {
    params.delete('code')
    for (const [name, value] of Object.entries({ error: code, ...more })) params.set(name, value)
  },
})
const unclear = {
  page: { status: 502, body: /no clear answer to this login; begin it again/ },
  standing: failed(502, 'authorization_unclear'),
  asked: 1,
}

const WRONG: Readonly<Record<string, Wrong>> = {
  'a state that nobody sent': {
    place: (place) => place.searchParams.set('state', 'x'.repeat(43)),
    page: { status: 404, body: /no such session/ },
  },
  'no state': {
    place: (place) => place.searchParams.delete('state'),
    page: { status: 404, body: /no such/ },
  },
  'two states': {
    place: (place) => place.searchParams.append('state', place.searchParams.get('state') ?? ''),
    page: { status: 404, body: /no such session/ },
  },
  'no query at all': {
    place: (place) => {
      place.search = ''
    },
    page: { status: 404, body: /no such session/ },
  },
  'the path of another provider': {
    place: (place) => {
      place.pathname = place.pathname.replace('coded', 'qwen')
    },
    page: { status: 404, body: /no such session/ },
  },
  'another browser': { cookie: () => '', page: { status: 403, body: /begun in another browser: copy/ } },
  'a cookie of another login': {
    cookie: ({ cookie }) => cookie.replace(/=.*/, `=${'x'.repeat(43)}`),
    page: { status: 403, body: /begun in another browser/ },
  },
  'the issuer of somebody else': {
    answer: (params) => params.set('iss', 'https://elsewhere.example'),
    page: { status: 403, body: /not from the server that this login was begun at/ },
    standing: failed(403, 'issuer_mismatch'),
  },
  'no issuer, where the server said that it names itself': {
    answer: (params) => params.delete('iss'),
    page: { status: 403, body: /not from the server/ },
    standing: failed(403, 'issuer_mismatch'),
  },
  'an error of somebody else': {
    answer: (params) => {
      error('access_denied').answer(params)
      params.set('iss', 'https://elsewhere.example')
    },
    page: { status: 403, body: /not from the server/ },
    standing: failed(403, 'issuer_mismatch'),
  },
  'a refusal by the person': {
    ...error('access_denied', { error_description: 'no <b>thanks</b>' }),
    page: { status: 403, body: /The user refused/ },
    standing: failed(403, 'access_denied'),
  },
  'a refusal by the server': {
    ...error('invalid_scope'),
    page: { status: 502, body: /refuses this login[^<]*: invalid_scope/ },
    standing: failed(502, 'authorization_server_refused'),
  },
  'an error that nobody knows': {
    ...error('<script>alert(1)</script>'),
    page: { status: 502, body: /: unknown_error/ },
    standing: failed(502, 'authorization_server_refused'),
  },
  'neither a code nor an error': {
    answer: (params) => params.delete('code'),
    page: { status: 502, body: /: invalid_response/ },
    standing: failed(502, 'authorization_server_refused'),
  },
  'two codes': {
    answer: (params) => params.append('code', 'another'),
    page: { status: 502, body: /: invalid_response/ },
    standing: failed(502, 'authorization_server_refused'),
  },
  'a token in the address': {
    answer: (params) => params.set('id_token', 'x.y.z'),
    page: { status: 502, body: /: invalid_response/ },
    standing: failed(502, 'authorization_server_refused'),
  },
  'a code that the server does not know': {
    answer: (params) => params.set('code', 'never-given'),
    page: { status: 502, body: /: invalid_grant/ },
    standing: failed(502, 'authorization_server_refused'),
    asked: 1,
  },
  'a server that breaks off': { fault: 'cut', ...unclear },
  'a server in trouble': { fault: { status: 503, body: '<h1>Sorry</h1>' }, ...unclear },
  'tokens that are none': { fault: { body: { access_token: 'with a blank' } }, ...unclear },
}

onEachDatabase(
  t,
  'each wrong answer is told for what it is, and the next login works',
  async (t, database) => {
    const { server, broker, account, begin, standing, credential } = await openCodeStage(t, database, {
      provider: { refresh: { timeout_seconds: 2 } },
    })
    const id = await account()
    for (const [name, wrong] of Object.entries(WRONG)) {
      const asked = server.asked.length
      const begun = await begin(id)
      server.answer = wrong.answer ?? (() => {})
      server.fault = wrong.fault
      const place = await approve(begun)
      wrong.place?.(place)
      const page = await comeBack(broker, place, wrong.cookie?.(begun) ?? begun.cookie)
      t.match(page, wrong.page, name)
      t.match(page.headers.get('content-type'), /^text\/html/, name)
      t.match(page.headers.get('content-security-policy'), /^default-src 'none'/, name)
      t.match(await standing(begun), wrong.standing ?? PENDING, name)
      t.equal(server.asked.length - asked, wrong.asked ?? 0, `${name}: token requests`)
      t.match(await credential(id), { state: 'missing' }, name)
      // Whatever came, a page says the same in Chinese, and nothing of it is sent a second time.
      const again = await comeBack(broker, place, wrong.cookie?.(begun) ?? begun.cookie, 'zh')
      t.match(again.body, /登录未成功[\s\S]*[\u4e00-\u9fff]/, name)
      t.equal(server.asked.length - asked, wrong.asked ?? 0, `${name}: token requests, still`)
    }
    Object.assign(server, { answer: () => {}, fault: undefined })
    const begun = await begin(id)
    t.match(await comeBack(broker, await approve(begun), begun.cookie), { status: 200 })
    t.match(await credential(id), { state: 'active' })
  },
)

onEachDatabase(t, 'an answer is good once, in time, and for the login that it is of', async (t, database) => {
  const { server, broker, account, begin, standing, credential } = await openCodeStage(t, database)
  const [one, other] = [await begin(await account('one')), await begin(await account('other'))]
  const [first, second] = [await approve(one), await approve(other)]
  const both = `${one.cookie}; ${other.cookie}`
  t.match(await comeBack(broker, first, other.cookie), { status: 403 })
  const pages = await Promise.all(Array.from({ length: 5 }, () => comeBack(broker, first, both)))
  t.same(pages.map(({ status }) => status).toSorted(), [200, 409, 409, 409, 409])
  t.match(await comeBack(broker, first, both), { status: 409, body: /used already/ })
  t.equal(server.asked.length, 1)
  t.match(await standing(other), PENDING)

  // A login in between, however it was done, leaves this one without an effect.
  const oauth_token = { access_token: 'at-by-hand-0123456789', refresh_token: 'rt-by-hand-0123456789' }
  await broker.admin('PUT', `/api/models/configs/${other.configId}`, { oauth_token })
  const { fingerprint } = await credential(other.configId)
  t.match(await comeBack(broker, second, both), { status: 409, body: /this login changed nothing/ })
  t.match(await standing(other), failed(409, 'login_superseded'))
  t.equal((await credential(other.configId)).fingerprint, fingerprint)
})

onEachDatabase(
  t,
  'an answer that comes too late, or for a session that somebody changed',
  async (t, database) => {
    const { server, broker, account, begin, standing, credential } = await openCodeStage(t, database)
    const tables = openTables(t, broker, database)
    const id = await account()
    const begun = await begin(id)
    const place = await approve(begun)
    const change = async (values: Partial<DeviceSessionRow>, isSealed: boolean) => {
      await tables.run(async (db) => {
        const rowId = rowIdOf(begun.body.session_id)
        const row = await db
          .selectFrom('device_sessions')
          .selectAll()
          .where('id', '=', rowId)
          .executeTakeFirstOrThrow()
        const changed = { ...row, ...values }
        const keyRing = new KeyRing([new Secret(BUILT_IN_ENCRYPTION_KEY)])
        const seal = isSealed ? new DeviceSessionStore(tables, keyRing, SEALS).seal(changed) : {}
        await db
          .updateTable('device_sessions')
          .set({ ...changed, ...seal })
          .where('id', '=', rowId)
          .execute()
      })
    }
    const elsewhere = CALLBACK.replace('4711', '4712')
    await change({ redirect_uri: elsewhere }, false)
    t.match(await comeBack(broker, place, begun.cookie), { status: 503, body: /cannot be decrypted/ })
    await change({ redirect_uri: CALLBACK, expires_at: 1 }, true)
    t.match(await comeBack(broker, place, begun.cookie), { status: 408, body: /not completed in time/ })
    t.match(await standing(begun), failed(408, 'authorization_timeout'))
    t.match(await paste(broker, begun.body.session_id, place.href), failed(408, 'authorization_timeout'))
    t.equal(server.asked.length, 0)
    t.match(await credential(id), { state: 'missing' })
  },
)

const paste = (broker: { origin: string }, session_id: string, url: string): Promise<Answer> =>
  call(`${broker.origin}/api/oauth/callback`, 'POST', { session_id, url })

onEachDatabase(t, 'a pasted address counts if it is the one', async (t, database) => {
  const { server, broker, replica, account, begin, standing, credential } = await openCodeStage(t, database)
  const other = await replica()
  const id = await account()
  const begun = await begin(id)
  const { session_id } = begun.body
  const place = await approve(begun)
  const unfit = { status: 422, body: { code: 'pasted_address_unfit' } }
  const stranger = (await approve(await begin(await account('two')))).href
  for (const url of [
    'no address',
    place.href.replace('4711', '4712'),
    place.href.replace('http:', 'https:'),
    place.href.replace('/llm/', '/'),
    place.href.replace('coded', 'qwen'),
    place.href.replace('127.0.0.1', 'user@127.0.0.1.example'),
    place.href.replace(/state=[^&]*/, 'state=x'),
    `${place.href}&state=x`,
    stranger,
    CALLBACK,
  ])
    t.match(await paste(broker, session_id, url), unfit, url)
  t.match(await paste(broker, 'nobody', place.href), failed(404, 'session_not_found'))
  t.match(await paste(broker, session_id, ''), failed(422, 'invalid_request'))
  t.match(await standing(begun), PENDING, 'a slip of the hand ends nothing')
  t.equal(server.asked.length, 0)
  t.match(await paste(other, session_id, ` ${place.href}\n`), { status: 200, body: { status: 'success' } })
  t.match(await credential(id), { state: 'active' })
  t.match(await paste(broker, session_id, place.href), failed(409, 'login_used'))
  t.same(server.complaints, [])
})

onEachDatabase(
  t,
  'where only a registered loopback address is known, its address is pasted',
  async (t, database) => {
    const redirect = { callback: false, loopback: { host: 'localhost', port: 1455, path: '/auth/callback' } }
    const { server, broker, account, begin, credential } = await openCodeStage(t, database, { redirect })
    server.registered.add('http://localhost:1455/auth/callback')
    const id = await account()
    const begun = await begin(id)
    t.match(begun.body, { redirect_uri: 'http://localhost:1455/auth/callback', callback: false, paste: true })
    const place = await approve(begun)
    t.match(await paste(broker, begun.body.session_id, place.href), { status: 200 })
    t.match(await credential(id), { state: 'active' })
    t.same(server.complaints, [])
  },
)

onEachDatabase(
  t,
  'tokens that came while the database was away are stored when it is back',
  async (t, database) => {
    const { broker, account, begin, standing, credential, server } = await openCodeStage(t, database)
    const id = await account()
    const begun = await begin(id)
    const allow = await refusing(t, broker, database, 'before update on model_configs')
    const page = await comeBack(broker, await approve(begun), begun.cookie)
    t.match(page, { status: 200, body: /connected once the database is back/ })
    t.match(await credential(id), { state: 'missing' })
    await allow()
    await waitUntil(async () => (await credential(id)).state === 'active')
    t.match(await standing(begun), { status: 200, body: { status: 'success' } })
    t.equal(server.asked.length, 1)
  },
)

t.test(
  'whatever stands in the query, the page is none of ours that failed, and no token is lost',
  async (t) => {
    const { server, broker, account, begin, credential } = await openCodeStage(t, {
      kind: 'SQLite',
      url: 'sqlite:',
    })
    const id = await account()
    const begun = await begin(id)
    const place = await approve(begun)
    const state = place.searchParams.get('state') ?? ''
    const name = fc.constantFrom(
      'code',
      'state',
      'iss',
      'error',
      'error_description',
      'response',
      'lang',
      '',
      '%',
      '__proto__',
    )
    const value = fc.oneof(
      fc.constantFrom(state, server.origin, 'zh', '%zz', '\u0000', '💥'),
      fc.string({ unit: 'binary' }),
    )
    const query = fc.array(fc.tuple(name, value), { maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(query, fc.boolean(), async (pairs, isRaw) => {
        const url = new URL(CALLBACK)
        url.search = isRaw
          ? pairs.map((pair) => pair.join('=')).join('&')
          : new URLSearchParams(pairs).toString()
        const { status } = await comeBack(broker, url)
        return status === 403 || status === 404
      }),
      { numRuns: 200 },
    )
    t.equal(server.asked.length, 0)
    t.match(await credential(id), { state: 'missing' })
  },
)
