/**
 * Model configs in an order, found by their name and by what they answer to, without a look at the others.
 *
 * What is looked up here is looked up in every call, so it is kept small: configs that answer to the same stand in one
 * list, which all names share that nobody else answers to (docs/scaling.md).
 */

/** What a config answers to. */
export interface Served {
  /** Ids of models, each once. */
  readonly models: readonly string[]
  /** Other names they answer to, e.g. gpt-4o → qwen3-coder-plus. */
  readonly aliases: Readonly<Record<string, string>>
}

/** What routing needs to know of a config. */
export interface ModelConfig {
  readonly id: string
  /** Of those that exist no two have the same. */
  readonly name: string
  readonly provider: string
  readonly served: Served
  readonly isActive: boolean
  /** Epoch ms. */
  readonly createdAt: number
  /** There to practise on. */
  readonly isSandbox: boolean
}

/** Negative if `a` comes before `b`; 0 for two states of the same config. */
export type Order = (a: ModelConfig, b: ModelConfig) => number

const NONE: readonly ModelConfig[] = []

export class ConfigIndex {
  readonly #order: Order
  readonly #all: ModelConfig[] = []
  readonly #byId = new Map<string, ModelConfig>()
  /** Active ones. */
  readonly #byName = new Map<string, ModelConfig>()
  /** Active ones, in order, by all that they answer to. None is empty. */
  readonly #alike = new Map<Served, ModelConfig[]>()
  /** Some of these names have lists of their own: others answer to them as well. */
  readonly #mixed = new Set<Served>()
  /** Active ones, in order, by what they answer to: a list of those that are alike, or one of its own. */
  readonly #answering = new Map<string, ModelConfig[]>()
  #longestName = 0
  #version = 0

  constructor(order: Order) {
    this.#order = order
  }

  /** Rises with every change, for whoever keeps what was made of it. */
  get version(): number {
    return this.#version
  }

  /** In order, inactive ones among them. */
  get all(): readonly ModelConfig[] {
    return this.#all
  }

  get(id: string): ModelConfig | undefined {
    return this.#byId.get(id)
  }

  /** No name of a config is longer, in UTF-16 code units. */
  get longestName(): number {
    return this.#longestName
  }

  /** The active config of this name. */
  named(name: string): ModelConfig | undefined {
    return this.#byName.get(name)
  }

  /** The active configs that list this model, or have an alias of this name, in order. */
  answering(asked: string): readonly ModelConfig[] {
    return this.#answering.get(asked) ?? NONE
  }

  /** Adds it, or takes it in the place of what was known of it. */
  put(config: ModelConfig): void {
    this.remove(config.id)
    this.#version += 1
    this.#byId.set(config.id, config)
    this.#insert(this.#all, config)
    if (!config.isActive) return
    this.#byName.set(config.name, config)
    this.#longestName = Math.max(this.#longestName, config.name.length)
    const { served } = config
    const alike = this.#alike.get(served)
    if (alike) this.#insert(alike, config)
    else this.#alike.set(served, [config])
    if (alike && !this.#mixed.has(served)) return
    for (const name of namesOf(served)) this.#enter(name, config)
  }

  remove(id: string): void {
    const config = this.#byId.get(id)
    if (!config) return
    this.#version += 1
    this.#byId.delete(id)
    this.#take(this.#all, config)
    if (!config.isActive) return
    // Its name may be another's by now.
    if (this.#byName.get(config.name) === config) this.#byName.delete(config.name)
    const { served } = config
    const alike = this.#alike.get(served) ?? []
    this.#take(alike, config)
    if (alike.length > 0 && !this.#mixed.has(served)) return
    for (const name of namesOf(served)) this.#strike(name, config, alike)
    if (alike.length > 0) return
    this.#alike.delete(served)
    this.#mixed.delete(served)
  }

  #enter(name: string, config: ModelConfig): void {
    const alike = this.#alike.get(config.served)
    const present = this.#answering.get(name)
    if (present === alike || !alike) return
    if (!present) {
      this.#answering.set(name, alike)
      return
    }
    const [first] = present
    const isShared = first !== undefined && this.#alike.get(first.served) === present
    if (isShared) {
      this.#mixed.add(first.served)
      this.#answering.set(name, [...present, ...alike].sort(this.#order))
    } else this.#insert(present, config)
    this.#mixed.add(config.served)
  }

  #strike(name: string, config: ModelConfig, alike: readonly ModelConfig[]): void {
    const present = this.#answering.get(name)
    if (present && present !== alike) this.#take(present, config)
    if (present?.length === 0) this.#answering.delete(name)
  }

  #insert(list: ModelConfig[], config: ModelConfig): void {
    const last = list.at(-1)
    if (last === undefined || this.#order(last, config) < 0) list.push(config)
    else list.splice(this.#placeOf(list, config), 0, config)
  }

  #take(list: ModelConfig[], config: ModelConfig): void {
    const place = this.#placeOf(list, config)
    if (list[place] === config) list.splice(place, 1)
  }

  /** Where the first stands that does not come before it. */
  #placeOf(list: readonly ModelConfig[], config: ModelConfig): number {
    let [from, to] = [0, list.length]
    while (from < to) {
      const middle = (from + to) >>> 1
      const there = list[middle]
      if (there && this.#order(there, config) < 0) from = middle + 1
      else to = middle
    }
    return from
  }
}

/** Oldest first, and behind all others those of the sandbox. */
export function byAge(a: ModelConfig, b: ModelConfig): number {
  if (a.isSandbox !== b.isSandbox) return a.isSandbox ? 1 : -1
  return a.createdAt - b.createdAt || (a.id < b.id ? -1 : Number(a.id > b.id))
}

/** As the ids stand in this list. */
export function asListed(ids: readonly string[]): Order {
  const places = new Map<string, number>()
  for (const [place, id] of ids.entries()) if (!places.has(id)) places.set(id, place)
  const placeOf = ({ id }: ModelConfig) => places.get(id) ?? ids.length
  return (a, b) => placeOf(a) - placeOf(b)
}

/** Each once: aliases first, as `GET /v1/models` has them. */
export function* namesOf({ models, aliases }: Served): Generator<string> {
  for (const alias in aliases) if (Object.hasOwn(aliases, alias)) yield alias
  for (const model of models) if (!Object.hasOwn(aliases, model)) yield model
}
