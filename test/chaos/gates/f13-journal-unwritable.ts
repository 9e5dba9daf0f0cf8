/**
 * F13: the disk under one broker's journal is full, or read-only: it must leave refreshing to others, and serve.
 */
import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Broker, startBroker } from '../broker.ts'
import type { Gate, Row } from '../lab.ts'
import { callOnce, isFailed } from '../load.ts'
import { connect, type LoggedInWithKey, openSandbox, openSchemaOf, type Schema } from '../stage.ts'

const KINDS = ['MySQL', 'SQLite'] as const
const FAULTS = ['full', 'read-only'] as const
type Fault = (typeof FAULTS)[number]
const NOTICED_WITHIN_MS = 10_000
const REFRESHED_WITHIN_MS = 30_000
const CLAIM = "set `oauth_state` = 'refreshing'"
const ROUNDS = 10

export const journalUnwritable: Gate = {
  id: 'F13',
  title: 'a journal that cannot be written',
  async run(lab) {
    const rows: Row[] = []
    for (const kind of KINDS) {
      const schema = await openSchemaOf(lab, kind)
      const sandbox = await openSandbox(lab)
      const options = { databaseUrl: schema.url, dataDir: schema.dataDir, sandbox: sandbox.origin }
      const broken = await startBroker(lab, options)
      const other = kind === 'MySQL' ? await startBroker(lab, options) : undefined
      const configs: LoggedInWithKey[] = []
      for (let i = 0; i < lab.size(20, 4); i += 1) configs.push(await connect(broken, sandbox))
      for (const fault of FAULTS) {
        const row = await endure(schema, { broken, other }, configs, fault)
        const { reusesDetected } = sandbox.counts
        rows.push({ ...row, what: `${kind}: ${row.what}`, reached: row.reached && reusesDetected === 0 })
      }
    }
    return rows
  },
}

async function endure(
  { rows }: Schema,
  { broken, other }: { broken: Broker; other: Broker | undefined },
  configs: readonly LoggedInWithKey[],
  fault: Fault,
): Promise<Row> {
  const folder = join(broken.dataDir, 'journal')
  for (const { key } of configs) await broken.complete(key)
  const before = await Promise.all(configs.map(({ id }) => rows.read(id)))
  let claims = 0
  broken.database.tap = {
    toServer: (chunk) => {
      if (chunk.includes(CLAIM)) claims += 1
    },
  }
  const heal = breakFolder(folder, fault)
  const isNotReady = await until(async () => !(await broken.isReady()))
  // Soon due, and still good: whoever can refresh does, and nobody has to wait for it.
  const ids = configs.map(({ id }) => id)
  await rows.write(ids, { oauth_expires_at: Date.now() + 120_000, oauth_refreshed_at: null })
  await broken.hears()
  const calls = []
  for (let round = 0; round < ROUNDS; round += 1) {
    calls.push(...(await Promise.all(configs.map(({ key }) => callOnce(() => broken.complete(key))))))
  }
  const failed = calls.filter(isFailed).length
  const during = await Promise.all(configs.map(({ id }) => rows.read(id)))
  if (!other) claims += during.filter((row, i) => row.oauth_version !== before[i]?.oauth_version).length
  let disturbed = 0
  for (const [i, { id, key }] of configs.entries()) {
    if (!other) continue
    await other.complete(key)
    const isRefreshed = await rows.until(
      id,
      (row) => row.oauth_state === 'active' && row.oauth_version > (before[i]?.oauth_version ?? 0),
      REFRESHED_WITHIN_MS,
    )
    if (isRefreshed === undefined) disturbed += 1
  }
  heal()
  broken.database.tap = {}
  const isBack = await until(() => broken.isReady())
  const refreshed = await broken.admin('POST', `/api/models/configs/${ids[0]}/refresh`)
  return {
    what: `the journal is ${fault}, ${configs.length} tokens fall due`,
    figure: `${isNotReady ? 'not ready' : 'ready'}, ${claims} leases claimed, ${failed} of ${calls.length} calls failed`,
    worst: `${disturbed} tokens the other broker could not refresh; afterwards ${isBack ? 'ready' : 'not ready'}, a refresh answers ${refreshed.status}`,
    required: 'not ready, 0 claimed, 0 failed, others undisturbed',
    reached: isNotReady && claims + failed + disturbed === 0 && isBack && refreshed.status === 200,
  }
}

async function until(isSo: () => Promise<boolean>): Promise<boolean> {
  const giveUpAt = performance.now() + NOTICED_WITHIN_MS
  while (!(await isSo())) {
    if (performance.now() > giveUpAt) return false
    await sleep(100)
  }
  return true
}

/** Another file system over the folder; where none may be mounted, a file in its place. @returns what undoes it */
function breakFolder(folder: string, fault: Fault): () => void {
  try {
    const options = fault === 'full' ? 'size=1m' : 'ro'
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder], { stdio: 'pipe' })
  } catch {
    rmSync(folder, { recursive: true, force: true })
    writeFileSync(folder, '')
    return () => rmSync(folder)
  }
  if (fault === 'full') {
    try {
      writeFileSync(join(folder, 'filling'), Buffer.alloc(2 * 1024 * 1024))
    } catch {
      // now it is
    }
  }
  return () => void execFileSync('umount', ['-l', folder])
}
