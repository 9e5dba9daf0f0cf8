/**
 * F6: the authorization server answers refreshes with whatever servers answer on bad days.
 *
 * Many credentials at once, each with one fault, because a pause after a fault lasts half a minute and more.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fault } from '../../../src/sandbox/faults.ts'
import type { Sandbox } from '../../../src/sandbox/sandbox.ts'
import { must } from '../../support/broker.ts'
import { type Broker, startBroker } from '../broker.ts'
import type { Gate, Lab, Row } from '../lab.ts'
import { type Call, callOnce, failuresOf, isFailed } from '../load.ts'
import {
  connectWithoutKey,
  type LoggedIn,
  openSandbox,
  openSchema,
  type Schema,
  sharedServer,
} from '../stage.ts'
import { serverGone } from './f6-server-gone.ts'

const PAGE = '<html><title>Just a moment…</title></html>'
const TOKENS = {
  access_token: 'a'.repeat(64),
  token_type: 'Bearer',
  expires_in: 60,
  refresh_token: 'r'.repeat(64),
}

interface Kind {
  readonly name: string
  /** Met in turn. */
  readonly faults: readonly Fault[]
  /** The server did rotate: a strict one takes the old refresh token for stolen from then on. */
  readonly hasRotated: boolean
  /** The others wait for what one probe finds: not every credential meets its fault. */
  readonly isForAll?: boolean
}

const KINDS: readonly Kind[] = [
  {
    name: '5xx',
    faults: [
      { status: 500, body: { error: 'server_error' } },
      { status: 502, body: PAGE },
      { status: 503, body: PAGE, headers: { 'retry-after': '1' } },
      { status: 504, body: PAGE },
    ],
    hasRotated: false,
  },
  { name: 'timeout', faults: [{ hang: true }], hasRotated: false },
  {
    name: 'half body',
    faults: [{ status: 200, body: TOKENS, halfBody: true }, { drop: true }],
    hasRotated: false,
  },
  {
    name: 'HTML',
    faults: [
      { status: 200, body: PAGE },
      { status: 403, body: PAGE },
    ],
    hasRotated: false,
  },
  {
    name: 'half of the real answer, or too late',
    faults: [{ halfBody: true }, { afterHandling: 'drop' }, { delayMs: 12_000 }],
    hasRotated: true,
  },
  // Last, because from the first of these answers on the server counts as away for all.
  {
    name: '429',
    faults: [
      { status: 429, body: { error: 'slow_down' } },
      { status: 429, body: PAGE, headers: { 'retry-after': '20' } },
      { status: 429, body: { detail: 'rate limited' } },
    ],
    hasRotated: false,
    isForAll: true,
  },
]

/** Every credential is called so often. */
const CALL_EVERY_MS = 4_000
/** Calls that begin so shortly before the token's end may arrive after it. */
const EDGE_MS = 1_000
/** How often credentials are called again until each has met its fault: no more than so many are refreshed at once. */
const INSIST_EVERY_MS = 500
/** Until the last of those whose token has ended is refreshed. */
const RECOVERY_MS = 20_000
const AT_ONCE = 8

interface Group extends Kind {
  readonly configs: readonly LoggedIn[]
}

interface Scene {
  readonly lab: Lab
  readonly schema: Schema
  readonly sandbox: Sandbox
  readonly broker: Broker
  /** For every config. */
  readonly key: string
}

/** One call with one of the credentials. */
interface Visit extends Call {
  readonly config: LoggedIn
  /** Epoch ms. */
  readonly at: number
}

export const sickServer: Gate = {
  id: 'F6',
  title: 'a sick authorization server',
  async run(lab) {
    const sandbox = await openSandbox(lab, lab.size(200, 35))
    const schema = await openSchema(lab, await sharedServer())
    const broker = await startBroker(lab, { databaseUrl: schema.url, sandbox: sandbox.origin })
    const key = (await must(broker.admin('POST', '/api/keys', { name: 'all' }))).key
    const scene = { lab, schema, sandbox, broker, key }
    const groups: Group[] = []
    for (const kind of KINDS) groups.push({ ...kind, configs: await connectMany(scene, lab.size(100, 8)) })
    const endsAt = Math.min(...groups.flatMap(({ configs }) => configs.map(({ login }) => login.expires_at)))
    lab.say(`tokens end in ${Math.round((endsAt - Date.now()) / 1000)} s`)
    for (const group of groups) await fallIll(scene, group, endsAt)

    const visits: Visit[] = []
    const visiting = visitAll(scene, groups, { visits, until: endsAt + RECOVERY_MS })
    await sleep(endsAt - EDGE_MS - Date.now())
    const before = await statesOf(scene)
    const { unauthorized } = sandbox.counts
    lab.say(
      `at the tokens' end: ${groups.map((group) => `${group.name}: ${describe(group, before)}`).join('; ')}`,
    )
    await visiting
    const after = await statesOf(scene)
    lab.say(`later: ${groups.map((group) => `${group.name}: ${describe(group, after)}`).join('; ')}`)
    const rows = [true, false].map((hasRotated) =>
      judge(
        groups.filter((group) => group.hasRotated !== hasRotated),
        { visits, endsAt, before, after, unauthorized },
      ),
    )
    return [...rows, await serverGone(lab)]
  },
}

async function connectMany({ broker, sandbox }: Scene, count: number): Promise<LoggedIn[]> {
  const configs: LoggedIn[] = []
  const connect = async () => {
    while (configs.length < count) {
      const place = configs.push(undefined as never) - 1
      configs[place] = await connectWithoutKey(broker, sandbox, { expires_at: Date.now() + 86_400_000 })
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, connect))
  return configs
}

/** All credentials of a group fall due, and the next refresh of each meets a fault. */
async function fallIll({ schema, sandbox, broker, key }: Scene, group: Group, endsAt: number): Promise<void> {
  const { configs, faults } = group
  for (const index of configs.keys()) sandbox.faults.next('refresh', faults[index % faults.length] as Fault)
  const before = sandbox.counts.refreshRequests
  const ids = configs.map(({ id }) => id)
  await schema.rows.write(ids, { oauth_expires_at: endsAt, oauth_refreshed_at: null })
  await broker.hears()
  const complete = () => Promise.all(configs.map(({ name }) => broker.complete(key, `${name}/sandbox-model`)))
  await complete()
  if (group.isForAll) return sandbox.faults.clear()
  while (sandbox.counts.refreshRequests < before + configs.length) {
    await sleep(INSIST_EVERY_MS)
    await complete()
  }
}

async function visitAll(
  { broker, key }: Scene,
  groups: readonly Group[],
  { visits, until }: { visits: Visit[]; until: number },
): Promise<void> {
  const configs = groups.flatMap((group) => group.configs)
  const pauseMs = CALL_EVERY_MS / configs.length
  const open: Promise<void>[] = []
  const startedAt = Date.now()
  for (let i = 0; Date.now() < until; i += 1) {
    const config = configs[i % configs.length] as LoggedIn
    const at = Date.now()
    const visit = callOnce(() => broker.complete(key, `${config.name}/sandbox-model`))
    open.push(visit.then((call) => void visits.push({ ...call, config, at })))
    await sleep(Math.max(0, startedAt + (i + 1) * pauseMs - Date.now()))
  }
  await Promise.all(open)
}

type States = ReadonlyMap<string, { readonly state: string; readonly pausesUntil: number }>

async function statesOf({ schema }: Scene): Promise<States> {
  const rows = await schema.rows.all()
  return new Map(
    rows.map((row) => [row.id, { state: row.oauth_state, pausesUntil: row.next_attempt_at }] as const),
  )
}

interface Findings {
  readonly visits: readonly Visit[]
  readonly endsAt: number
  /** At the tokens' end. */
  readonly before: States
  /** After every credential had time to be refreshed. */
  readonly after: States
  readonly unauthorized: number
}

function judge(groups: readonly Group[], { visits, endsAt, before, after, unauthorized }: Findings): Row {
  const hasRotated = groups.some((group) => group.hasRotated)
  const configs = new Set(groups.flatMap((group) => group.configs))
  const own = visits.filter(({ config }) => configs.has(config))
  const early = own.filter(({ at }) => at < endsAt - EDGE_MS)
  // Only the short form's tokens end before a pause does; the brokers go by the database's clock.
  const late = own.filter(
    ({ at, config }) => at > Math.max(endsAt, before.get(config.id)?.pausesUntil ?? 0) + EDGE_MS,
  )
  const inState = (states: States, state: string) =>
    [...configs].filter(({ id }) => states.get(id)?.state === state).length
  const dead = inState(before, 'reauth_required')
  const deadLater = inState(after, 'reauth_required')
  const failedLate = late.filter(isFailed).length
  const failedEarly = early.filter(isFailed).length
  return {
    what: `${groups.map(({ name, configs }) => `${name} × ${configs.length}`).join(', ')}${hasRotated ? ' (the server has rotated)' : ''}`,
    figure: `${dead} in reauth_required, ${failedEarly} of ${early.length} calls failed while the old tokens lived, ${unauthorized} refused upstream`,
    worst: hasRotated
      ? `after the tokens' end ${deadLater} of ${configs.size} need a login: their answers were lost in flight`
      : `after the tokens' end ${deadLater} need a login, ${failedLate} of ${late.length} calls failed (${failuresOf(late)})`,
    required: '0 in reauth_required, 0 failed to the tokens’ end',
    reached:
      dead + failedEarly + unauthorized === 0 &&
      early.length > 0 &&
      (hasRotated || (deadLater === 0 && failedLate === 0)),
  }
}

function describe({ configs }: Group, states: States): string {
  const counts = new Map<string, number>()
  for (const { id } of configs) {
    const state = states.get(id)?.state ?? 'gone'
    counts.set(state, (counts.get(state) ?? 0) + 1)
  }
  return [...counts].map(([state, count]) => `${count} ${state}`).join(' ')
}
