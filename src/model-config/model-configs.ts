/**
 * Model configs: which models a credential serves and under which name; everything but the tokens.
 *
 * The tokens live in the same rows, but their columns are `credential/`'s; whoever writes both at once does it
 * in one transaction.
 */
import type { ChangeWatcher } from '../storage/changes.ts'
import type { Database } from '../storage/database.ts'
import { RowCache } from '../storage/row-cache.ts'
import type { ModelConfigRow } from '../storage/tables.ts'

export interface Model {
  readonly model_id: string
  readonly support_vision: boolean
  readonly support_thinking: boolean
}

/** What routing needs to know of a config. */
export interface ModelConfig {
  readonly id: string
  readonly name: string
  readonly provider: string
  readonly models: readonly Model[]
  /** Other names its models answer to, e.g. gpt-4o → qwen3-coder-plus. */
  readonly aliases: Readonly<Record<string, string>>
  readonly isActive: boolean
}

const NO_ALIASES = {}
const MAX_CACHED_SCOPES = 20_000

export class ModelConfigs {
  readonly #database: Database
  /** Routing knowledge by scope: the config ids of a key, or '' for all of them. */
  readonly #scopes: RowCache<readonly ModelConfig[]>

  constructor(database: Database, changes: ChangeWatcher) {
    this.#database = database
    this.#scopes = new RowCache(changes, MAX_CACHED_SCOPES)
  }

  /**
   * The configs a key may use, in its order of preference (all configs: oldest first).
   * Without a promise while they are cached.
   */
  ofScope(ids: readonly string[] | null): readonly ModelConfig[] | Promise<readonly ModelConfig[]> {
    const scope = ids === null ? '' : ids.length === 1 ? (ids[0] as string) : ids.join(',')
    return this.#scopes.get(scope) ?? this.#scopes.load(scope, () => this.#read(ids))
  }

  async #read(ids: readonly string[] | null): Promise<readonly ModelConfig[]> {
    const rows = await this.#database.run((db) => {
      const query = db
        .selectFrom('model_configs')
        .select(['id', 'name', 'provider', 'models', 'aliases', 'is_active'])
        .where('deleted_at', 'is', null)
      if (ids === null) return query.orderBy('created_at').orderBy('id').execute()
      return ids.length === 0 ? Promise.resolve([]) : query.where('id', 'in', ids).execute()
    })
    const configs = rows.map(toModelConfig)
    if (ids !== null) configs.sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id))
    return configs
  }
}

export function toModelConfig(
  row: Pick<ModelConfigRow, 'id' | 'name' | 'provider' | 'models' | 'aliases' | 'is_active'>,
): ModelConfig {
  return {
    id: row.id,
    name: row.name,
    provider: row.provider,
    models: JSON.parse(row.models) as Model[],
    aliases: row.aliases === null ? NO_ALIASES : (JSON.parse(row.aliases) as Record<string, string>),
    isActive: row.is_active === 1,
  }
}
