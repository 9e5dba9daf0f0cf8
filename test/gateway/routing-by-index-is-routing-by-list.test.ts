/**
 * What finds configs by index says the same as looking at all of them, one after the other, which is written down
 * here as it is meant: over any configs, keys and changes.
 */
import fc from 'fast-check'
import t from 'tap'
import { BrokerError } from '../../src/base/errors.ts'
import { modelsList } from '../../src/gateway/models-list.ts'
import { chooseRoutes, mayAnswer, type Route, worthTrying } from '../../src/gateway/routing.ts'
import { inStickyOrder } from '../../src/gateway/sticky.ts'
import { asListed, byAge, ConfigIndex, type ModelConfig } from '../../src/model-config/config-index.ts'
import type { Provider } from '../../src/provider/provider.ts'
import { configOf } from './fixtures/configs.ts'

type Models = readonly string[] | null

/** The rule, by looking at every config. */
function routesByList(models: Models, configs: readonly ModelConfig[], asked: string | undefined): Route[] {
  const only = configs.length === 1 && configs[0]?.isActive ? configs : []
  const active = configs.filter(({ isActive }) => isActive)
  if (asked === undefined) return active.slice(0, 1).map((config) => ({ config, model: undefined }))
  const isAllowed = (model: string) => !models || models.includes(asked) || models.includes(model)
  const aliasIn = ({ served: { aliases } }: ModelConfig, model: string) =>
    Object.hasOwn(aliases, model) ? aliases[model] : undefined
  const [named] = active
    .filter(({ name }) => asked.startsWith(`${name}/`))
    .sort((a, b) => b.name.length - a.name.length)
  if (named) {
    const rest = asked.slice(named.name.length + 1)
    const model = aliasIn(named, rest) ?? rest
    return isAllowed(model) ? [{ config: named, model }] : []
  }
  const listing = active.flatMap((config) => {
    const alias = aliasIn(config, asked)
    if (alias !== undefined) return [{ config, model: alias }]
    return config.served.models.includes(asked) ? [{ config, model: asked }] : []
  })
  if (listing.length > 0) return listing.filter(({ model }) => isAllowed(model))
  return isAllowed(asked) ? only.map((config) => ({ config, model: asked })) : []
}

function listByList(models: Models, configs: readonly ModelConfig[]): [string, string][] | undefined {
  const active = configs.filter(({ isActive }) => isActive)
  const owners = new Map<string, string>()
  for (const id of models ?? []) {
    const [first] = routesByList(models, configs, id)
    if (first) owners.set(id, first.config.name)
  }
  if (models) return [...owners]
  if (active.length === 1 && PROVIDERS.get(active[0]?.provider ?? '')?.upstream.models.length === 0)
    return undefined
  for (const { name, served } of active) {
    for (const id of [...Object.keys(served.aliases), ...served.models])
      if (!owners.has(id)) owners.set(id, name)
  }
  return [...owners]
}

/** Which four are tried, by looking at all that may answer. */
function tryByList(routes: readonly Route[], resting: ReadonlySet<string>, user: string): Route[] {
  const ordered: Route[] = []
  while (ordered.length < routes.length) {
    const rest = routes.slice(ordered.length)
    const provider = rest[0]?.config.provider
    const end = rest.findIndex(({ config }) => config.provider !== provider)
    const neighbours = end === -1 ? rest : rest.slice(0, end)
    ordered.push(...(provider === 'sticky' && user ? ranked(neighbours, user) : neighbours))
  }
  const isResting = ({ config }: Route) => resting.has(config.id)
  return [...ordered.filter((route) => !isResting(route)), ...ordered.filter(isResting)].slice(0, 4)
}

/** The order of one run of neighbours, which is not what is in question here. */
function ranked(neighbours: readonly Route[], user: string): Route[] {
  return [
    ...inOrderOf(
      user,
      neighbours.map(({ config }) => config),
    ),
  ].map((config) => ({ config, model: 'm1' }))
}

function inOrderOf(user: string, configs: readonly ModelConfig[]) {
  return inStickyOrder({ configs, version: 0 }, PROVIDERS, { 'x-user': user }, undefined)
}

const PROVIDERS = new Map(
  Object.entries({ plain: {}, sticky: { stickyBy: ['header:x-user'] }, lists: { models: ['m1', 'm9'] } }).map(
    ([name, upstream]) => [
      name,
      { name, upstream: { models: [], stickyBy: [], ...upstream } } as unknown as Provider,
    ],
  ),
)

// Few of each, so that they meet.
const NAMES = ['', 'a', 'b', 'a/b', 'a/b/c', 'm1', '模', 'b/', 'toString', '__proto__']
const IDS = ['i0', 'i1', 'i2', 'i3', 'i4', 'i5', 'i6', 'i7']
/** Configs that answer to the same have the same list. */
const ALIKE = [
  { models: ['m1', 'm2', 'm3'], aliases: {} },
  { models: ['m2', 'a'], aliases: { m1: 'm3' } },
]
const model = fc.constantFrom('m1', 'm2', 'm3', 'b/m1', 'm1/', 'toString', '__proto__', 'a')
const asked = fc.option(
  fc.oneof(
    model,
    fc.tuple(fc.constantFrom(...NAMES), model).map((parts) => parts.join('/')),
    fc.constantFrom('', '/', 'a/', '//m1'),
    fc.string(),
  ),
  { nil: undefined },
)
const state = fc.record({
  id: fc.constantFrom(...IDS),
  name: fc.constantFrom(...NAMES),
  provider: fc.constantFrom(...PROVIDERS.keys()),
  served: fc.oneof(
    fc.constantFrom(...ALIKE),
    fc.record({
      models: fc.uniqueArray(model, { maxLength: 5 }),
      aliases: fc.dictionary(model, model, { maxKeys: 2 }),
    }),
  ),
  isActive: fc.boolean(),
  createdAt: fc.integer({ min: 0, max: 3 }),
  isSandbox: fc.boolean(),
})
/** A config that is as it is now, or, without one, the id of one that is no more. */
const change = fc.oneof({ weight: 5, arbitrary: state }, fc.record({ id: fc.constantFrom(...IDS) }))

/** No two that exist have one name, as in the database. */
function applied(changes: readonly (ModelConfig | { readonly id: string })[]) {
  const configs = new Map<string, ModelConfig>()
  const done: (ModelConfig | { readonly id: string })[] = []
  for (const one of changes) {
    const isTaken = [...configs.values()].some(
      ({ id, name }) => 'name' in one && id !== one.id && name === one.name,
    )
    if (isTaken) continue
    if ('name' in one) configs.set(one.id, one)
    else configs.delete(one.id)
    done.push(one)
  }
  return { configs, done }
}

/** Those of the sandbox, or all others, the oldest first. */
function inOrder(configs: readonly ModelConfig[], isSandbox: boolean): ModelConfig[] {
  const some = configs.filter((config) => config.isSandbox === isSandbox)
  return some.sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))
}

/** Several changes may become known at once, and then in any order: as they are read, not as they were made. */
function indexAfter(changes: readonly (ModelConfig | { readonly id: string })[], ids: Models): ConfigIndex {
  const index = new ConfigIndex(ids ? asListed(ids) : byAge)
  for (let from = 0; from < changes.length; from += 6) {
    const { configs } = applied(changes.slice(0, from + 6))
    const changed = new Set(changes.slice(from, from + 6).map(({ id }) => id))
    for (const id of [...changed].filter((id) => !ids || ids.includes(id)).reverse()) {
      const config = configs.get(id)
      if (config) index.put(config)
      else index.remove(id)
    }
  }
  return index
}

/** Undefined if there are none. */
function found<Result>(work: () => Result): Result | undefined {
  try {
    return work()
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'model_not_found') return undefined
    throw error
  }
}

t.test('over any configs, keys and changes', async (t) => {
  const keyIds = fc.option(fc.uniqueArray(fc.constantFrom(...IDS), { maxLength: 6 }))
  const keyModels = fc.option(fc.uniqueArray(fc.oneof(model, fc.constant('a/m1')), { maxLength: 4 }), {
    freq: 2,
  })
  const many = fc.array(change, { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(many, keyIds, keyModels, asked, (changes, ids, models, asked) => {
      const { configs, done } = applied(changes)
      const scope = ids
        ? ids.map((id) => configs.get(id)).filter((config) => config !== undefined)
        : [false, true].flatMap((isSandbox) => inOrder([...configs.values()], isSandbox))
      const index = indexAfter(done, ids)
      t.strictSame(index.all, scope)
      for (const name of NAMES) {
        const named = scope.find((config) => config.isActive && config.name === name)
        if (index.named(name) !== named) t.fail(`${name} is ${named?.id}`)
      }

      const key = { models }
      const routes = routesByList(models, scope, asked)
      const chosen = found(() => chooseRoutes(key, index, asked)) ?? []
      t.strictSame([[...chosen], [...chosen]], [routes, routes])
      for (const id of IDS) {
        const may = found(() => mayAnswer(id, key, index, asked)) ?? false
        if (may !== routes.some(({ config }) => config.id === id)) t.fail(`${id} may answer: ${may}`)
      }

      const list = modelsList(key, index, PROVIDERS)
      const owners =
        list && JSON.parse(list).data.map((of: Record<string, string>) => [of['id'], of['owned_by']])
      t.strictSame(owners, listByList(models, scope))
      return t.passing()
    }),
    { numRuns: 2_000 },
  )
})

t.test('what is tried of what may answer', async (t) => {
  const resting = fc.uniqueArray(fc.constantFrom(...IDS), { maxLength: 4 })
  const user = fc.constantFrom('', 'ann', 'bob')
  const among = fc.uniqueArray(state, { selector: ({ id }) => id })
  fc.assert(
    fc.property(among, resting, user, (configs, rest, user) => {
      const routes = configs.map((config) => ({ config, model: 'm1' }))
      const isResting = new Set(rest)
      const ordered = [...inOrderOf(user, configs)].map((config) => ({ config, model: 'm1' }))
      const tried = worthTrying(ordered, ({ config }) => !isResting.has(config.id))
      t.strictSame(tried, tryByList(routes, isResting, user))
      return t.passing()
    }),
    { numRuns: 1_000 },
  )
})

t.test(
  'users are spread evenly over neighbours, and stay where they are when others come and go',
  async (t) => {
    const configs = neighbours(600)
    const users = Array.from({ length: 200 }, (_, n) => `user-${n}`)
    const index = new ConfigIndex(byAge)
    for (const config of configs) index.put(config)
    const placeOf = (user: string) => {
      const listing = { configs: index.answering('m'), version: index.version }
      return [...inStickyOrder(listing, PROVIDERS, { 'x-user': user }, undefined)].map(({ id }) => id)
    }
    const before = users.map(placeOf)
    t.same(
      before.map((ids) => new Set(ids).size),
      users.map(() => 600),
      'each has an order of all of them',
    )
    t.ok(new Set(before.map(([first]) => first)).size > 140, 'and hardly two the same first')

    const gone = new Set(before.slice(0, 60).map(([first]) => first))
    for (const id of gone) index.remove(id ?? '')
    t.same(
      users.map((user) => placeOf(user)[0]),
      before.map((ids) => ids.find((id) => !gone.has(id))),
      'those of one that is gone move to the next of theirs, and nobody else does',
    )
    for (const config of configs) index.put(config)
    t.same(
      users.map((user) => placeOf(user)[0]),
      before.map(([first]) => first),
    )

    const few = { configs: configs.slice(0, 5), version: 0 }
    const counts = new Map<string, number>()
    for (let n = 0; n < 5_000; n += 1) {
      const [first] = inStickyOrder(few, PROVIDERS, { 'x-user': `user-${n}` }, undefined)
      counts.set(first?.id ?? '', (counts.get(first?.id ?? '') ?? 0) + 1)
    }
    t.same([...counts.values()].filter((count) => Math.abs(count - 1_000) < 150).length, 5)
  },
)

function neighbours(count: number): ModelConfig[] {
  const served = { models: ['m'], aliases: {} }
  return Array.from({ length: count }, (_, n) => {
    const id = `3f2c9a10-0000-4000-8000-${String(n).padStart(12, '0')}`
    return { id, name: `c${n}`, provider: 'sticky', served, isActive: true, createdAt: n, isSandbox: false }
  })
}

t.test('a config among many is found without a look at the others', async (t) => {
  let looks = 0
  const index = new ConfigIndex((a, b) => {
    looks += 1
    return byAge(a, b)
  })
  const served = { models: ['shared'], aliases: {} }
  for (let n = 0; n < 20_000; n += 1) index.put(configOf(`${n}`, [], { name: `c${n}`, served, createdAt: n }))
  looks = 0
  const [first] = chooseRoutes({ models: null }, index, 'shared')
  t.equal(first?.config.id, '0')
  t.equal([...chooseRoutes({ models: null }, index, 'c19999/shared')][0]?.config.id, '19999')
  t.equal(looks, 0)
  index.remove('10000')
  index.put(configOf('10000', [], { name: 'new', served, createdAt: 10_000 }))
  t.ok(looks < 200, `${looks} comparisons for a change`)
  t.equal(index.answering('shared')[10_000]?.name, 'new')
})
