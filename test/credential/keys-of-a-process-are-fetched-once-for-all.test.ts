import t from 'tap'
import { type FetchedKeys, NoKeys } from '../../src/aws/aws-question.ts'
import { MINUTE, SECOND } from '../../src/base/clock.ts'
import type { Credential } from '../../src/credential/credential.ts'
import { createLocalFetch } from '../../src/credential/local-fetch.ts'
import { LocalKeys } from '../../src/credential/local-keys.ts'
import type { Provider } from '../../src/provider/provider.ts'

const PATIENCE_MS = 1_000
const LIFE_MS = 60 * MINUTE

/** Keys of a source that answers when and what the test says. */
function scene() {
  const clock = { now: 1_700_000_000_000 }
  const asked: PromiseWithResolvers<FetchedKeys>[] = []
  const fetch = () => {
    const answer = Promise.withResolvers<FetchedKeys>()
    asked.push(answer)
    return answer.promise
  }
  const never = async (): Promise<never> => {
    throw new Error('nothing else is asked')
  }
  const get = createLocalFetch({ aws: { fetch }, renew: never, trade: never, clock: () => clock.now })
  const noted: (string | undefined)[] = []
  const note = async (_: Credential, refusal: string | undefined) => void noted.push(refusal)
  const files: { now: string | undefined } = { now: undefined }
  const local = new LocalKeys(
    get,
    note,
    async () => files.now,
    () => clock.now,
  )
  const give = (name: string, lifeMs: number | undefined = LIFE_MS) => {
    const expiresAt = lifeMs === undefined ? undefined : clock.now + lifeMs
    asked
      .at(-1)
      ?.resolve({ accessKeyId: name, secretAccessKey: `secret-${name}`, sessionToken: name, expiresAt })
  }
  const refuse = (isRefusal: boolean) => asked.at(-1)?.reject(new NoKeys('why', isRefusal))
  return { clock, asked, local, noted, files, give, refuse }
}

const provider = {
  kind: 'aws_sigv4',
  awsSigV4: {},
  refresh: { beforeMs: 5 * MINUTE, waitMs: 2_000 },
} as unknown as Provider

function rowOf(version = 1): Credential {
  const tokens = {
    accessToken: '',
    refreshToken: undefined,
    tokenType: 'Bearer',
    scope: undefined,
    expiresAt: undefined,
    receivedAt: undefined,
    metadata: {},
  }
  const attempt = { id: undefined, lastId: undefined, leaseIsLive: false, nextAt: 0, lastError: undefined }
  return { configId: 'c', provider, state: 'active', tokens, baseUrl: '', attempt, loginAt: 1, version }
}

const nameOf = (credential: Credential | undefined) => credential?.awsKeys?.accessKeyId

t.test('a thousand callers wait for one answer, and then nobody waits', async (t) => {
  const { asked, local, give } = scene()
  const row = rowOf()
  t.equal(local.peek(row), undefined)
  const waiting = Array.from({ length: 1_000 }, () => local.usable(row, PATIENCE_MS))
  give('A')
  t.same(new Set((await Promise.all(waiting)).map(nameOf)), new Set(['A']))
  t.equal(asked.length, 1)
  const present = local.peek(row)
  t.equal(nameOf(present), 'A')
  t.equal(local.peek(row), present, 'the same one, so that what is made of it is kept')
})

t.test('before their end others are fetched while the old ones serve, to their end', async (t) => {
  const { clock, asked, local, give, refuse } = scene()
  const row = rowOf()
  const first = local.usable(row, PATIENCE_MS)
  give('A')
  await first
  clock.now += LIFE_MS - 5 * MINUTE + 1
  t.equal(local.peek(row), undefined)
  t.equal(nameOf(await local.usable(row, PATIENCE_MS)), 'A')
  t.equal(asked.length, 2)
  refuse(true)
  await new Promise(setImmediate)
  await local.usable(row, PATIENCE_MS)
  t.equal(nameOf(await local.usable(row, PATIENCE_MS)), 'A', 'whatever comes of it')
  t.equal(asked.length, 2, 'nor is it asked again at once')
  clock.now += 31 * SECOND
  t.equal(nameOf(await local.usable(row, PATIENCE_MS)), 'A')
  give('B')
  await new Promise(setImmediate)
  t.equal(nameOf(local.peek(row)), 'B')
  t.equal(asked.length, 3)
})

t.test(
  'without keys callers are told which way it is, and the source is left alone for longer and longer',
  async (t) => {
    const { clock, asked, local, refuse, give } = scene()
    const row = rowOf()
    for (const [isRefusal, code, pausesMs] of [
      [true, 'credential_refused', [30 * SECOND, MINUTE, 2 * MINUTE, 4 * MINUTE, 5 * MINUTE, 5 * MINUTE]],
      [false, 'refresh_unavailable', [5 * MINUTE]],
    ] as const) {
      for (const pauseMs of pausesMs) {
        const before = asked.length
        const waiting = local.usable(row, PATIENCE_MS)
        refuse(isRefusal)
        await t.rejects(waiting, { code, detail: 'why' })
        clock.now += pauseMs - 1
        await t.rejects(local.usable(row, PATIENCE_MS), { code })
        t.equal(asked.length, before + 1)
        clock.now += 1
      }
    }
    const mended = local.usable(row, PATIENCE_MS)
    give('A')
    t.equal(nameOf(await mended), 'A')
  },
)

t.test('a refusal is written down, and so is its end; trouble of the source is not', async (t) => {
  const { clock, local, noted, refuse, give } = scene()
  const tryAt = async (row: Credential, end: () => void) => {
    clock.now += 6 * MINUTE
    const waiting = local.usable(row, PATIENCE_MS).catch(() => {})
    end()
    await waiting
    return noted.splice(0)
  }
  const row = rowOf()
  t.same(await tryAt(row, () => refuse(false)), [])
  t.same(await tryAt(row, () => refuse(true)), ['why'])
  t.same(await tryAt(row, () => refuse(true)), ['why'], 'the row knows whether that is news')
  t.same(await tryAt(row, () => give('A')), [undefined])
  clock.now += LIFE_MS
  t.same(await tryAt(row, () => give('B')), [])
  clock.now += LIFE_MS
  t.same(await tryAt({ ...row, state: 'refused' }, () => give('C')), [undefined], 'of another process')
})

t.test('what was refused is tried at once with other files, and once', async (t) => {
  const { asked, local, files, refuse, give } = scene()
  const row = rowOf()
  const tried = async (end: () => void) => {
    const before = asked.length
    const answer = local.usable(row, PATIENCE_MS).then(nameOf, ({ code }) => code)
    await new Promise(setImmediate)
    end()
    return [asked.length - before, await answer]
  }
  files.now = 'wrong'
  t.same(await tried(() => refuse(true)), [1, 'credential_refused'])
  t.same(await tried(() => {}), [0, 'credential_refused'])
  files.now = 'wrong as well'
  t.same(await tried(() => refuse(true)), [1, 'credential_refused'])
  t.same(await tried(() => {}), [0, 'credential_refused'])
  files.now = 'right'
  t.same(await tried(() => give('A')), [1, 'A'])
})

t.test('a caller waits no longer than it can', async (t) => {
  const { local } = scene()
  await t.rejects(local.usable(rowOf(), 10), { code: 'refresh_unavailable', detail: 'still fetching keys' })
})

t.test('a refusal by upstream fetches once a minute, and is repeated with other keys only', async (t) => {
  const { clock, asked, local, give } = scene()
  const row = rowOf()
  const first = local.usable(row, PATIENCE_MS)
  give('A')
  const refused = await first
  const afterwards = Array.from({ length: 100 }, () => local.afterRefusal(row, refused, PATIENCE_MS))
  give('B')
  const newer = await Promise.all(afterwards)
  t.same(new Set(newer.map(nameOf)), new Set(['B']))
  t.equal(asked.length, 2)
  t.equal(
    nameOf(await local.afterRefusal(row, refused, PATIENCE_MS)),
    'B',
    'who comes late gets what there is',
  )
  const [B] = newer
  if (!B) throw new Error('no B')
  t.equal(
    await local.afterRefusal(row, B, PATIENCE_MS),
    undefined,
    'born of a refusal: it is not their fault',
  )
  t.equal(asked.length, 2)
  clock.now += MINUTE
  t.equal(nameOf(await local.afterRefusal(row, refused, PATIENCE_MS)), 'B', 'newer than those are there')
  t.equal(asked.length, 2)
  const same = local.afterRefusal(row, B, PATIENCE_MS)
  give('B')
  t.equal(await same, undefined, 'the same keys are no others')
  t.equal(asked.length, 3)
})

t.test('a row of another version begins anew; one that was only read again does not', async (t) => {
  const { asked, local, give } = scene()
  const first = local.usable(rowOf(), PATIENCE_MS)
  give('A')
  await first
  const again = { ...rowOf(), baseUrl: 'https://elsewhere.example/v1' }
  const same = await local.usable(again, PATIENCE_MS)
  t.match(same, { baseUrl: 'https://elsewhere.example/v1', awsKeys: { accessKeyId: 'A' } })
  t.equal(asked.length, 1)
  t.equal(local.peek(rowOf(2)), undefined, 'nor is what it had handed out')
  const changed = local.usable(rowOf(2), PATIENCE_MS)
  t.equal(asked.length, 2)
  give('B')
  t.equal(nameOf(await changed), 'B')
})
