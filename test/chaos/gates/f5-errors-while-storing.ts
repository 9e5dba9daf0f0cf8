/**
 * F5, second half: every error number a server can answer with, given to the statements that store an answer, while
 * another broker with a DATA_DIR of its own waits for the same tokens.
 */
import type { Sandbox } from '../../../src/sandbox/sandbox.ts'
import { startBroker } from '../broker.ts'
import type { Lab, Row } from '../lab.ts'
import { callOnce, isFailed } from '../load.ts'
import { ERROR_NUMBERS, errorPacket, STORING, type Statement } from '../mysql-errors.ts'
import { connect, openSchema, sharedServer } from '../stage.ts'

const CONFIGS = 6
const STORED_WITHIN_MS = 30_000

export async function errorsWhileStoring(lab: Lab, sandbox: Sandbox): Promise<Row> {
  const schema = await openSchema(lab, await sharedServer())
  const options = { databaseUrl: schema.url, sandbox: sandbox.origin }
  const [holder, other] = [await startBroker(lab, options), await startBroker(lab, options)]
  const configs = []
  for (let i = 0; i < CONFIGS; i += 1) configs.push(await connect(holder, sandbox))
  const statements = Object.keys(STORING) as Statement[]
  const numbers = ERROR_NUMBERS.filter((_, index) => index % lab.size(1, 6) === 0)
  const left = new Map(statements.map((statement) => [statement, [...numbers]]))
  holder.database.tap = {
    toServer(chunk) {
      const text = chunk.toString('latin1')
      const statement = statements.find((name) => STORING[name].test(text))
      const errno = statement && left.get(statement)?.shift()
      return errno === undefined ? undefined : errorPacket(errno)
    },
  }
  let failed = 0
  while (statements.some((statement) => left.get(statement)?.length)) {
    await Promise.all(
      configs.map(async ({ id, key }) => {
        await holder.admin('POST', `/api/models/configs/${id}/refresh`)
        if (isFailed(await callOnce(() => other.complete(key)))) failed += 1
      }),
    )
  }
  holder.database.tap = {}
  const isThere = await Promise.all(
    configs.map(({ id, login }) => schema.rows.untilNewest(id, login, STORED_WITHIN_MS)),
  )
  const lost = isThere.filter((is) => !is).length
  for (const { id } of configs) await other.admin('POST', `/api/models/configs/${id}/refresh`)
  const { reusesDetected, refreshGrants } = sandbox.counts
  return {
    what: `${numbers.length} error numbers, each at the update, at the event and at the commit; two brokers with journals of their own`,
    figure: `${lost} tokens lost, ${reusesDetected} used twice, ${failed} failed calls`,
    worst: `${refreshGrants} refreshes in all`,
    required: '0 lost, 0 used twice, 0 failed',
    reached: lost + reusesDetected + failed === 0,
  }
}
