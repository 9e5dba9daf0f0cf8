/**
 * Model configs: which models a credential serves and under which name; everything but the tokens.
 *
 * The tokens live in the same rows, but their columns are `credential/`'s; whoever writes both at once does it
 * in one transaction.
 */

import { setImmediate } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import { storedList, storedObject } from '../base/stored-json.ts'
import type { Provider } from '../provider/provider.ts'
import type { ChangeWatcher } from '../storage/changes.ts'
import { asListed, byAge, ConfigIndex, type ModelConfig, type Served } from './config-index.ts'
import type { ModelConfigReader, RoutingRow } from './model-config-reader.ts'

export interface Model {
  readonly model_id: string
  readonly support_vision: boolean
  readonly support_thinking: boolean
}

/** A config counts once for each scope that it is in, and a scope for itself. */
const MAX_CONFIGS_IN_SCOPES = 500_000
const A_SCOPE = 24
/** Of lists of models, as they are stored. */
const MAX_SHARED_CHARACTERS = 1_000_000
/** Calls go on between one page and the next: this many are read and sorted in within some milliseconds. */
const ROWS_AT_ONCE = 200

/** What is known of the configs of a key. */
interface Scope {
  readonly index: ConfigIndex
  /** The changes that were known of when it was read, or when none of its configs was last found among them. */
  seen: number
}

/** A scope that is being read. */
interface Reading {
  readonly index: Promise<ConfigIndex>
  /** The changes that were known of when it began; undefined: not yet begun. */
  seen: number | undefined
}

export class ModelConfigs {
  readonly #reader: Pick<ModelConfigReader, 'ofIds' | 'after'>
  readonly #changes: ChangeWatcher
  readonly #providers: ReadonlyMap<string, Provider>
  /** Of every config. */
  #all: Scope | undefined
  /** By the ids in them. */
  readonly #scopes = new LRUCache<string, Scope>({
    maxSize: MAX_CONFIGS_IN_SCOPES,
    sizeCalculation: ({ index }) => index.all.length + A_SCOPE,
  })
  /** The last one in line for each scope: they come one after the other, so that none brings what is old. */
  readonly #readings = new Map<string, Reading>()
  /** Thousands of configs may list the same. */
  readonly #served = new LRUCache<string, Served>({
    maxSize: MAX_SHARED_CHARACTERS,
    sizeCalculation: (_, text) => text.length,
  })

  /** Those of one provider often come one after the other: a comparison is less than a look-up by a long text. */
  #last: (Pick<RoutingRow, 'provider' | 'models' | 'aliases'> & { readonly served: Served }) | undefined

  constructor(
    reader: Pick<ModelConfigReader, 'ofIds' | 'after'>,
    changes: ChangeWatcher,
    providers: ReadonlyMap<string, Provider>,
  ) {
    this.#reader = reader
    this.#changes = changes
    this.#providers = providers
  }

  /** Every config has been read once; since then only what changes is. */
  get knowsAll(): boolean {
    return this.#all !== undefined
  }

  /** As {@link ofScope}, while nothing of it has changed. */
  peek(ids: readonly string[] | null): ConfigIndex | undefined {
    const scope = this.#known(ids)
    if (!scope) return undefined
    const { seen } = this.#changes
    if (scope.seen === seen) return scope.index
    if (this.#changedIn(ids, scope)?.length !== 0) return undefined
    scope.seen = seen
    return scope.index
  }

  /**
   * The configs a key may use, in its order of preference (all configs: oldest first, the sandbox last). Valid until the next await.
   * @throws BrokerError storage_unavailable
   */
  async ofScope(ids: readonly string[] | null): Promise<ConfigIndex> {
    const known = this.peek(ids)
    if (known) return known
    const name = nameOf(ids)
    const last = this.#readings.get(name)
    if (last && (last.seen === undefined || last.seen === this.#changes.seen)) return last.index
    const begin = async () => {
      await last?.index.catch(() => {})
      reading.seen = this.#changes.seen
      return this.peek(ids) ?? (await this.#read(ids))
    }
    const reading: Reading = {
      seen: undefined,
      index: begin().finally(() => {
        if (this.#readings.get(name) === reading) this.#readings.delete(name)
      }),
    }
    this.#readings.set(name, reading)
    return reading.index
  }

  #known(ids: readonly string[] | null): Scope | undefined {
    return ids === null ? this.#all : this.#scopes.get(nameOf(ids))
  }

  /** Ids of configs that may not be as they were read; undefined: any. */
  #changedIn(ids: readonly string[] | null, { seen }: Scope): readonly string[] | undefined {
    if (ids === null) return this.#changes.changedSince(seen, 'config')
    return ids.filter((id) => this.#changes.hasChanged(id, seen))
  }

  /** All of it, or only what has changed of what is known. */
  async #read(ids: readonly string[] | null): Promise<ConfigIndex> {
    const { seen } = this.#changes
    const scope = this.#known(ids)
    const changed = scope && this.#changedIn(ids, scope)
    if (scope && changed) {
      await this.#readChanged(scope.index, changed)
      scope.seen = seen
      return scope.index
    }
    const index = ids === null ? await this.#readAll() : await this.#readSome(ids)
    if (ids === null) this.#all = { index, seen }
    else this.#scopes.set(nameOf(ids), { index, seen })
    return index
  }

  async #readChanged(index: ConfigIndex, changed: readonly string[]): Promise<void> {
    for (let from = 0; from < changed.length; from += ROWS_AT_ONCE) {
      const ids = changed.slice(from, from + ROWS_AT_ONCE)
      const rows = new Map((await this.#reader.ofIds(ids)).map((row) => [row.id, row]))
      for (const id of ids) {
        const row = rows.get(id)
        if (row) index.put(this.#configOf(row))
        else index.remove(id)
      }
    }
  }

  async #readSome(ids: readonly string[]): Promise<ConfigIndex> {
    const index = new ConfigIndex(asListed(ids))
    for (const row of await this.#reader.ofIds(ids)) index.put(this.#configOf(row))
    return index
  }

  /** In pages: others want to be served meanwhile, and a hundred thousand rows are many megabytes. */
  async #readAll(): Promise<ConfigIndex> {
    const index = new ConfigIndex(byAge)
    let last: RoutingRow | undefined
    for (;;) {
      const rows = await this.#reader.after(last, ROWS_AT_ONCE)
      for (const row of rows) index.put(this.#configOf(row))
      last = rows.at(-1)
      if (rows.length < ROWS_AT_ONCE) return index
      await setImmediate()
    }
  }

  #configOf(row: RoutingRow): ModelConfig {
    const { id, name, created_at: createdAt } = row
    const { name: provider = row.provider, isSandbox = false } = this.#providers.get(row.provider) ?? {} // one text for all
    const isActive = row.is_active === 1
    return { id, name, provider, served: this.#servedBy(row), isActive, createdAt, isSandbox }
  }

  #servedBy(row: RoutingRow): Served {
    const { provider, models, aliases } = row
    const last = this.#last
    if (last && last.models === models && last.provider === provider && last.aliases === aliases)
      return last.served
    const served = this.#sharedBy(row)
    this.#last = { models, provider, aliases, served }
    return served
  }

  #sharedBy({ provider, models, aliases }: RoutingRow): Served {
    const text = `${provider} ${aliases ?? ''} ${models}`
    const shared = this.#served.get(text)
    if (shared) return shared
    const own = listedModels(models).map(({ model_id }) => model_id)
    const listed = own.length > 0 ? own : (this.#providers.get(provider)?.upstream.models ?? [])
    const served = {
      models: [...new Set(listed)],
      aliases: aliases === null ? NO_ALIASES : storedAliases(aliases),
    }
    this.#served.set(text, served)
    return served
  }
}

const NO_ALIASES = {}
/** Of the lists of ids that keys have; a key of many would take long to name in every call. */
const names = new WeakMap<readonly string[], string>()

function nameOf(ids: readonly string[] | null): string {
  if (ids === null) return 'all'
  let name = names.get(ids)
  if (name === undefined) {
    name = ids.join(',')
    names.set(ids, name)
  }
  return name
}

/** None where they cannot be read: a person sees it and lists them again. What a row leaves out is false. */
export function storedModels(text: string): Model[] {
  return listedModels(text).map(({ model_id, support_vision, support_thinking }) => ({
    model_id,
    support_vision: support_vision === true,
    support_thinking: support_thinking === true,
  }))
}

function listedModels(text: string) {
  return (storedList(text) ?? []).filter(isModel)
}

function isModel(value: unknown): value is Pick<Model, 'model_id'> & Partial<Record<keyof Model, unknown>> {
  return typeof (value as Partial<Model> | null)?.model_id === 'string'
}

export function storedAliases(text: string): Record<string, string> {
  const entries = Object.entries(storedObject(text) ?? {})
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}
