/**
 * Usage as hourly rows: adds to them, and sums them up.
 */
import { type RawBuilder, sql } from 'kysely'
import { DAY, HOUR } from '../base/clock.ts'
import type { Database } from '../storage/database.ts'
import { configName, keyName } from '../storage/look-ups.ts'
import type { UsageHourlyRow } from '../storage/tables.ts'

export type UsageGroup = 'key' | 'config' | 'model' | 'day' | 'hour'

export interface UsageQuestion {
  /** Epoch ms, inclusive. */
  readonly from: number
  /** Exclusive. */
  readonly to: number
  readonly groupBy: UsageGroup
  /** Splits every group by time. */
  readonly per: 'hour' | 'day' | undefined
  readonly configIds: readonly string[] | undefined
  /** Where days begin, in ms east of UTC. */
  readonly offsetMs: number
}

export interface UsageSum {
  /** An id, a model, or the beginning of an hour or day in epoch ms. */
  readonly group: string | number
  /** With `per`: the beginning of the hour or day. */
  readonly at: number | undefined
  /** Of a key that exists or a config that ever did. */
  readonly name: string | null
  readonly requests: number
  readonly errors: number
  readonly promptTokens: number
  readonly completionTokens: number
}

export const ROWS_A_STATEMENT = 500
export const MAX_SUMS = 20_000
const KEY = ['hour', 'key_id', 'config_id', 'model'] as const
/** SQLite's own. */
const ROW_ID = sql<number>`rowid`
const COUNTS = ['requests', 'errors', 'prompt_tokens', 'completion_tokens'] as const

const GROUPS = {
  key: sql.ref<string>('key_id'),
  config: sql.ref<string>('config_id'),
  model: sql.ref<string>('model'),
}
const NAMES: Partial<Record<UsageGroup, RawBuilder<string | null>>> = {
  key: keyName(sql.ref('usage_hourly.key_id')),
  config: configName(sql.ref('usage_hourly.config_id')),
}
const NO_NAME = sql<null>`null`

export class UsageStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /**
   * All or none; one statement, so ROWS_A_STATEMENT at most.
   * @throws BrokerError storage_unavailable
   */
  async add(rows: readonly UsageHourlyRow[]): Promise<void> {
    // In one order everywhere, so that replicas never wait for each other in a circle.
    const sorted = rows.toSorted((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1))
    await this.#database.run((db) => {
      const insert = db.insertInto('usage_hourly').values(sorted)
      return this.#database.kind === 'mysql'
        ? insert.onDuplicateKeyUpdate(sums((name) => sql`values(${sql.ref(name)})`)).execute()
        : insert
            .onConflict((conflict) =>
              conflict.columns(KEY).doUpdateSet(sums((name) => sql.ref(`excluded.${name}`))),
            )
            .execute()
    })
  }

  /** At most so many of the rows from before an hour, the oldest first. @returns how many they were */
  async deleteSomeBefore(hour: number, limit: number): Promise<number> {
    const { numDeletedRows } = await this.#database.run((db) => {
      const old = db.deleteFrom('usage_hourly').where('hour', '<', hour)
      if (this.#database.kind === 'mysql') {
        // By the whole key: a standby of the database that repeats the statement must find the same rows.
        const ordered = old.orderBy('hour').orderBy('key_id').orderBy('config_id').orderBy('model')
        return ordered.limit(limit).executeTakeFirst()
      }
      const ids = db.selectFrom('usage_hourly').select(ROW_ID.as('id')).where('hour', '<', hour).limit(limit)
      return old.where(ROW_ID, 'in', ids).executeTakeFirst()
    })
    return Number(numDeletedRows)
  }

  /** In the order of the groups, then of time. */
  async sum({ from, to, groupBy, per, configIds, offsetMs }: UsageQuestion): Promise<UsageSum[]> {
    const group: RawBuilder<string | number> =
      groupBy === 'day' || groupBy === 'hour' ? beginning(groupBy, offsetMs) : GROUPS[groupBy]
    const at: RawBuilder<number | null> = per ? beginning(per, offsetMs) : sql`null`
    const rows = await this.#database.run((db) => {
      const query = db
        .selectFrom('usage_hourly')
        .where('hour', '>=', from)
        .where('hour', '<', to)
        .select([group.as('usage_group'), at.as('at'), (NAMES[groupBy] ?? NO_NAME).as('name')])
        .select(COUNTS.map((name) => sql<number | string>`sum(${sql.ref(name)})`.as(name)))
        .groupBy(per ? [group, at] : group)
        .orderBy(group)
        .orderBy(at)
        .limit(MAX_SUMS)
      return (configIds ? query.where('config_id', 'in', [...configIds, '']) : query).execute()
    })
    return rows.map((row) => ({
      group: typeof row.usage_group === 'string' ? row.usage_group : Number(row.usage_group),
      at: row.at === null ? undefined : Number(row.at),
      name: row.name,
      requests: Number(row.requests),
      errors: Number(row.errors),
      promptTokens: Number(row.prompt_tokens),
      completionTokens: Number(row.completion_tokens),
    }))
  }
}

function orderOf({ hour, key_id, config_id, model }: UsageHourlyRow): string {
  return `${hour}|${key_id}|${config_id}|${model}`
}

function sums(
  added: (column: string) => RawBuilder<number>,
): Record<(typeof COUNTS)[number], RawBuilder<number>> {
  const sum = (name: string) => sql<number>`${sql.ref(`usage_hourly.${name}`)} + ${added(name)}`
  const [requests, errors, prompt_tokens, completion_tokens] = COUNTS.map(sum) as [
    RawBuilder<number>,
    RawBuilder<number>,
    RawBuilder<number>,
    RawBuilder<number>,
  ]
  return { requests, errors, prompt_tokens, completion_tokens }
}

function beginning(unit: 'hour' | 'day', offsetMs: number): RawBuilder<number> {
  const size = unit === 'day' ? DAY : HOUR
  return sql`hour - ((hour + ${sql.lit(offsetMs)}) % ${sql.lit(size)})`
}
