/**
 * F17: the rows go back to what they were some refreshes ago, while brokers run and while they do not. The tokens
 * in them were spent.
 */
import type { Sandbox } from '../../../src/sandbox/sandbox.ts'
import { type Broker, startBroker } from '../broker.ts'
import type { Gate, Lab, Row } from '../lab.ts'
import { callOnce, isFailed } from '../load.ts'
import { connect, type LoggedInWithKey, openSandbox, openSchemaOf, type Schema } from '../stage.ts'

const STORED_WITHIN_MS = 20_000
const KINDS = ['MySQL', 'SQLite'] as const
const WAYS = ['warm', 'cold'] as const
const MOST_REFRESHES = 3

interface Scene {
  readonly lab: Lab
  readonly schema: Schema
  readonly sandbox: Sandbox
  readonly brokers: readonly Broker[]
  readonly configs: readonly LoggedInWithKey[]
}

export const rowGoesBack: Gate = {
  id: 'F17',
  title: 'the row goes back in time',
  async run(lab) {
    const rows: Row[] = []
    for (const kind of KINDS) {
      const scene = await openScene(lab, kind)
      for (const way of WAYS) rows.push(await goBack(scene, kind, way))
    }
    return rows
  },
}

async function openScene(lab: Lab, kind: (typeof KINDS)[number]): Promise<Scene> {
  const schema = await openSchemaOf(lab, kind)
  const sandbox = await openSandbox(lab)
  const { url: databaseUrl, dataDir } = schema
  const options = { databaseUrl, dataDir, sandbox: sandbox.origin }
  // What one has stored only its own journal holds: on SQLite all brokers share one folder.
  const brokers = [await startBroker(lab, options)]
  if (kind === 'MySQL') brokers.push(await startBroker(lab, options))
  const configs: LoggedInWithKey[] = []
  for (let i = 0; i < lab.size(20, 4); i += 1) configs.push(await connect(brokers[0] as Broker, sandbox))
  return { lab, schema, sandbox, brokers, configs }
}

async function goBack(scene: Scene, kind: string, way: (typeof WAYS)[number]): Promise<Row> {
  const { lab, schema, sandbox, brokers, configs } = scene
  const ids = configs.map(({ id }) => id)
  const areNewest = async () => {
    const are = await Promise.all(
      configs.map(({ id, login }) => schema.rows.untilNewest(id, login, STORED_WITHIN_MS)),
    )
    return are.filter((isNewest) => !isNewest).length
  }
  const before = await schema.rows.snapshot(ids)
  for (const { id } of configs) {
    const times = 1 + Math.floor(lab.random.between(0, MOST_REFRESHES))
    for (let i = 0; i < times; i += 1) await refresh(lab.random.pick(brokers), id)
  }
  const unstored = await areNewest()
  if (way === 'cold') for (const broker of brokers) await broker.kill()
  await schema.rows.restore(before)
  if (way === 'cold') for (const broker of brokers) await broker.start()
  const lost = await areNewest()
  const calls = await Promise.all(
    brokers.flatMap((broker) => configs.map(({ key }) => callOnce(() => broker.complete(key)))),
  )
  for (const { id } of configs) await refresh(lab.random.pick(brokers), id)
  const unusable = await areNewest()
  const failed = calls.filter(isFailed).length
  const { reusesDetected, familiesRevoked } = sandbox.counts
  return {
    what: `${kind}, ${way}: ${configs.length} rows go back 1 to ${MOST_REFRESHES} refreshes, ${brokers.length} broker(s)`,
    figure: `${lost} not stored again, ${reusesDetected} tokens used twice, ${failed} failed calls`,
    worst: `${unusable} could not be refreshed afterwards, ${familiesRevoked} families revoked`,
    required: '0 lost, 0 used twice, 0 failed',
    reached: unstored + lost + failed + unusable + reusesDetected + familiesRevoked === 0,
  }
}

function refresh(broker: Broker, id: string) {
  return broker.admin('POST', `/api/models/configs/${id}/refresh`)
}
