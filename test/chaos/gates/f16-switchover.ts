/**
 * F16: a switchover. The primary takes no writes any more; then its name leads to another that does, while the old
 * one goes on answering those who kept their connections.
 *
 * One server plays both: it refuses writes to every connection, and later only to those that are older than the switch.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Connection, createConnection } from 'mysql2/promise'
import { type Broker, startBroker } from '../broker.ts'
import type { Gate, Lab, Row } from '../lab.ts'
import { callOnce, failuresOf, isFailed, Load } from '../load.ts'
import { connect, type LoggedInWithKey, openSandbox, openSchema, ownServer, type Schema } from '../stage.ts'

const NORMAL_WITHIN_MS = 5_000
const NUMBERS = {
  1290: '--read-only',
  1792: 'a read-only transaction',
  1836: 'read-only mode',
  1047: 'not in its cluster',
}
const CALLS_PER_SECOND = 20
const POOL = 10
const PROBES = 12
const PROBE_EVERY_MS = 500
const USER = 'broker'
/** What a switched primary refuses. */
const WRITES = [
  ['model_configs', 'insert'],
  ['model_configs', 'update'],
  ['audit_events', 'insert'],
  ['api_keys', 'insert'],
  ['change_counter', 'update'],
  ['usage_hourly', 'insert'],
] as const

export const switchover: Gate = {
  id: 'F16',
  title: 'the primary becomes read-only, and connections stay',
  async run(lab) {
    const sandbox = await openSandbox(lab)
    const server = await ownServer(lab)
    const rows: Row[] = []
    for (const [number, name] of Object.entries(NUMBERS).slice(0, lab.size(4, 1))) {
      const schema = await openSchema(lab, server)
      const fence = await Fence.build(schema.url, Number(number))
      lab.teardown(() => fence.close())
      // Not root, whom read_only does not bind.
      const databaseUrl = Object.assign(new URL(schema.url), { username: USER }).href
      const broker = await startBroker(lab, { databaseUrl, sandbox: sandbox.origin })
      const config = await connect(broker, sandbox)
      const reuses = sandbox.counts.reusesDetected
      const row = await play(lab, { schema, broker, config, fence }, `${number} (${name})`)
      const isReused = sandbox.counts.reusesDetected > reuses
      rows.push(isReused ? { ...row, worst: `A TOKEN WAS SENT TWICE; ${row.worst}`, reached: false } : row)
      await broker.kill()
      lab.say(row.figure)
    }
    return rows
  },
}

interface Scene {
  readonly schema: Schema
  readonly broker: Broker
  readonly config: LoggedInWithKey
  readonly fence: Fence
}

async function play(lab: Lab, { schema, broker, config, fence }: Scene, name: string): Promise<Row> {
  const readOnlyMs = lab.size(20_000, 4_000)
  await Promise.all(Array.from({ length: POOL }, () => broker.admin('GET', '/api/models/configs')))
  const load = new Load(CALLS_PER_SECOND, () => broker.complete(config.key))
  const { promise: begun, resolve } = Promise.withResolvers<void>()
  broker.grants.onAnswer = async () => {
    broker.grants.onAnswer = undefined
    await fence.raise()
    resolve()
  }
  const refreshed = callOnce(() => broker.admin('POST', `/api/models/configs/${config.id}/refresh`))
  await begun
  const begunAt = performance.now()
  let unreadyMs = Number.POSITIVE_INFINITY
  let readyAgain = 0
  while (performance.now() - begunAt < readOnlyMs) {
    if (!(await broker.isReady())) unreadyMs = Math.min(unreadyMs, performance.now() - begunAt)
    else if (unreadyMs < Number.POSITIVE_INFINITY) readyAgain += 1
    await sleep(200)
  }
  await fence.switchOver()
  const switchedAt = performance.now()
  const storing = schema.rows.untilNewest(config.id, config.login, 3 * NORMAL_WITHIN_MS)
  const stored = storing.then((isStored) =>
    isStored ? performance.now() - switchedAt : Number.POSITIVE_INFINITY,
  )
  const writes = []
  for (let i = 0; i < PROBES; i += 1) {
    writes.push(callOnce(() => broker.admin('POST', '/api/keys', { name: `probe ${i}` })))
    await sleep(PROBE_EVERY_MS)
  }
  const probes = await Promise.all(writes)
  const lastBad = probes.findLast(({ status }) => status !== 201)
  const writesMs = lastBad ? lastBad.startedAt + lastBad.ms - switchedAt : 0
  const storedMs = await stored
  await refreshed
  const calls = await load.stop()
  const isReady = await broker.isReady()
  return {
    what: `writes refused with ${name} for ${readOnlyMs / 1000} s, old connections for good; a token answer just arrived`,
    figure: `not ready after ${Math.round(unreadyMs)} ms, no write fails ${Math.round(writesMs)} ms after the switch, the token is in its row after ${Math.round(storedMs)} ms, ${calls.filter(isFailed).length} of ${calls.length} calls failed`,
    worst: `failures ${failuresOf(calls)}; ${readyAgain} times ready in between, ${isReady ? 'ready' : 'NOT READY'} at the end`,
    required: `not ready meanwhile, writing and stored within ${NORMAL_WITHIN_MS / 1000} s, 0 failed, 0 tokens sent twice`,
    reached:
      unreadyMs < readOnlyMs &&
      readyAgain === 0 &&
      isReady &&
      Math.max(writesMs, storedMs) <= NORMAL_WITHIN_MS &&
      !calls.some(isFailed),
  }
}

/** Triggers that refuse the writes of connections up to a certain one. */
class Fence {
  readonly #url: string
  readonly #root: Connection

  static async build(url: string, number: number): Promise<Fence> {
    const root = await createConnection(url)
    await root.query(`create user if not exists '${USER}'@'%'`)
    await root.query(`grant all on ${new URL(url).pathname.slice(1)}.* to '${USER}'@'%'`)
    await root.query('create table fence (upto bigint) engine = MyISAM')
    await root.query('insert into fence values (0)')
    for (const [table, write] of WRITES) {
      await root.query(`create trigger fence_${table}_${write} before ${write} on ${table} for each row begin
        declare upto_id bigint;
        select upto into upto_id from fence;
        if connection_id() <= upto_id then
          signal sqlstate 'HY000' set mysql_errno = ${number}, message_text = 'the server takes no writes';
        end if;
      end`)
    }
    return new Fence(url, root)
  }

  private constructor(url: string, root: Connection) {
    this.#url = url
    this.#root = root
  }

  /** From now on nobody writes. */
  async raise(): Promise<void> {
    await this.#root.query('update fence set upto = ?', [2 ** 52])
  }

  /** New connections write, those that stand do not. */
  async switchOver(): Promise<void> {
    const newest = await createConnection(this.#url)
    await this.#root.query('update fence set upto = ?', [newest.threadId])
    await newest.end()
  }

  close(): Promise<void> {
    return this.#root.end()
  }
}
