/**
 * What a first call with a key asks the database: the queries themselves, and whether an index answers them.
 */
import { CompiledQuery, createQueryId, type KyselyPlugin, type RootOperationNode } from 'kysely'
import { ApiKeyStore } from '../../src/api-key/api-key-store.ts'
import { ApiKeys } from '../../src/api-key/api-keys.ts'
import type { Environment } from '../../src/base/environment.ts'
import { createLog } from '../../src/base/log.ts'
import { openTokenPersistence } from '../../src/credential/persistence/database-token-persistence.ts'
import { RowSeals } from '../../src/credential/row-seals.ts'
import { ModelConfigReader } from '../../src/model-config/model-config-reader.ts'
import { ModelConfigs } from '../../src/model-config/model-configs.ts'
import { readConfig } from '../../src/settings/config.ts'
import { ChangeWatcher } from '../../src/storage/changes.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { SEALS } from '../support/tables.ts'

export interface LookUp {
  readonly what: 'key' | 'config' | 'credential'
  /** SQLite's query plans, one a query. */
  readonly plans: readonly string[]
}

/** @param env as the broker on this database has it */
export async function coldLookUps(env: Environment, key: string): Promise<LookUp[]> {
  const config = readConfig(env)
  const plain = openDatabase(config)
  const asked: RootOperationNode[] = []
  const database = recorded(plain, asked)
  const changes = new ChangeWatcher(database, createLog('silent'))
  await changes.look()
  const plansOf = async <Result>(work: () => Result | Promise<Result>): Promise<[Result, string[]]> => {
    asked.length = 0
    const result = await work()
    return [result, await Promise.all(asked.map((query) => explain(plain, query)))]
  }
  const keys = new ApiKeys(new ApiKeyStore(database, changes, SEALS), changes)
  const configs = new ModelConfigs(new ModelConfigReader(database), changes, new Map())
  const ring = new KeyRing(config.encryptionKeys)
  const store = openTokenPersistence(database, ring, new RowSeals(ring), config.providers)
  const [record, keyPlans] = await plansOf(() => keys.authenticate(key))
  const [scope, configPlans] = await plansOf(() => configs.ofScope(record.modelConfigIds))
  const [, credentialPlans] = await plansOf(() => store.load(scope.all[0]?.id ?? ''))
  await plain.close()
  return [
    { what: 'key', plans: keyPlans },
    { what: 'config', plans: configPlans },
    { what: 'credential', plans: credentialPlans },
  ]
}

export function isIndexed(plan: string): boolean {
  return /SEARCH .* USING .*INDEX/.test(plan) && !/SCAN/.test(plan)
}

/** The same database, with every query noted down. */
function recorded(database: Database, asked: RootOperationNode[]): Database {
  const built = new WeakMap<object, RootOperationNode>() // the parts of a union, too, which are asked with it
  const recorder: KyselyPlugin = {
    transformQuery({ queryId, node }) {
      built.set(queryId, node)
      return node
    },
    async transformResult({ queryId, result }) {
      const node = built.get(queryId)
      if (node) asked.push(node)
      return result
    },
  }
  return { ...database, run: (work) => database.run((db) => work(db.withPlugin(recorder))) }
}

async function explain({ kysely }: Database, query: RootOperationNode): Promise<string> {
  const { sql, parameters } = kysely.getExecutor().compileQuery(query, createQueryId())
  const plan = await kysely.executeQuery<{ detail: string }>(
    CompiledQuery.raw(`explain query plan ${sql}`, [...parameters]),
  )
  return plan.rows.map((row) => row.detail).join('; ')
}
