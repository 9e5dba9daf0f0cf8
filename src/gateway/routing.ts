/**
 * Which configs may answer, in which order: `config-name/model-id`, else every active config of the key that
 * lists the model, else the key's only config; for a call that names no model its first one (docs/api.md, Calls). A config
 * that the client names beside the call has a scope of its own already (`named-config.ts`).
 *
 * The order is the key's own and does not change from call to call, so a conversation stays with the config that
 * has its prompt cached. How users are spread over configs, where a provider file asks for that: `sticky.ts`.
 */
import type { ApiKey } from '../api-key/api-key.ts'
import { BrokerError } from '../base/errors.ts'
import type { ConfigIndex, ModelConfig } from '../model-config/config-index.ts'

export interface Route {
  readonly config: ModelConfig
  /** What upstream is asked for; undefined where the request names no model. */
  readonly model: string | undefined
}

type NamedRoute = Route & { readonly model: string }

/**
 * At least one, each found as it is asked for.
 * @param arranged in which order those that list the model are asked, if not in the key's
 * @throws BrokerError model_not_found
 */
export function chooseRoutes(
  key: Pick<ApiKey, 'models'>,
  scope: ConfigIndex,
  asked: string | undefined,
  arranged: (listing: readonly ModelConfig[]) => Iterable<ModelConfig> = (listing) => listing,
): Iterable<Route> {
  if (asked === undefined) return [{ config: firstConfig(scope), model: undefined }]
  const allows = allowance(key, asked)
  const named = byName(scope, asked)
  if (named) {
    if (!allows(named.model)) throw modelNotFound(scope, asked)
    return [named]
  }
  const listing = scope.answering(asked)
  const [only] = listing
  if (only && listing.length === 1) {
    const model = modelIn(only, asked)
    if (allows(model)) return [{ config: only, model }] // nothing to arrange: the usual call, without a generator
  } else if (listing.some((config) => allows(modelIn(config, asked))))
    return { [Symbol.iterator]: () => allowedAmong(arranged(listing), asked, allows) }
  if (listing.length > 0 || !allows(asked)) throw modelNotFound(scope, asked)
  return [{ config: onlyConfig(scope, asked), model: asked }]
}

/** Whether this config is among those that {@link chooseRoutes} gives. @throws BrokerError model_not_found */
export function mayAnswer(
  configId: string,
  key: Pick<ApiKey, 'models'>,
  scope: ConfigIndex,
  asked: string | undefined,
): boolean {
  const [first] = chooseRoutes(key, scope, asked)
  if (first?.config.id === configId) return true
  const config = scope.get(configId)
  if (!config?.isActive || asked === undefined || byName(scope, asked)) return false
  const { aliases, models } = config.served
  const isListed = Object.hasOwn(aliases, asked) || models.includes(asked)
  return isListed && allowance(key, asked)(modelIn(config, asked))
}

/** For JSON too large to be kept, whose model is not in its beginning. @throws BrokerError request_too_large */
export function assertCertain(scope: ConfigIndex): void {
  if (scope.all.length === 1) return
  const reason = 'write "model" in front, or use a key with one config, to send more than 20 MiB of JSON'
  throw new BrokerError('request_too_large', { reason })
}

/** Whether a call that asks for this may be answered by that model. */
function allowance({ models }: Pick<ApiKey, 'models'>, asked: string): (model: string) => boolean {
  if (!models || models.includes(asked)) return () => true
  return (model) => model !== asked && models.includes(model)
}

/** Config names may hold slashes, and so may model ids: the longest name that fits wins. */
function byName(scope: ConfigIndex, asked: string): NamedRoute | undefined {
  let end = asked.lastIndexOf('/', scope.longestName)
  while (end !== -1) {
    const config = scope.named(asked.slice(0, end))
    if (config) return { config, model: modelIn(config, asked.slice(end + 1)) }
    end = end === 0 ? -1 : asked.lastIndexOf('/', end - 1)
  }
  return undefined
}

function* allowedAmong(
  listing: Iterable<ModelConfig>,
  asked: string,
  allows: (model: string) => boolean,
): Generator<Route> {
  for (const config of listing) {
    const model = modelIn(config, asked)
    if (allows(model)) yield { config, model }
  }
}

/** Own names only: `toString` is no alias. */
function modelIn({ served: { aliases } }: ModelConfig, asked: string): string {
  return (Object.hasOwn(aliases, asked) ? aliases[asked] : undefined) ?? asked
}

/** Of a key over all of them it is the oldest, and the sandbox only if there is nothing else. */
function firstConfig(scope: ConfigIndex): ModelConfig {
  const first = scope.all.find(({ isActive }) => isActive)
  if (!first) throw notFound(scope, 'the request names no model')
  return first
}

function onlyConfig(scope: ConfigIndex, asked: string): ModelConfig {
  const [only] = scope.all
  if (only?.isActive && scope.all.length === 1) return only
  throw modelNotFound(scope, asked)
}

export function modelNotFound(scope: ConfigIndex, asked: string): BrokerError {
  return notFound(scope, `model "${asked.slice(0, MAX_SHOWN)}"`)
}

const MAX_SHOWN = 100
const MAX_NAMES = 10

/** @param lookedFor what the key's configs are told beside */
export function notFound({ all }: ConfigIndex, lookedFor: string): BrokerError {
  const names: string[] = []
  for (const { name, isActive } of all) {
    if (isActive) names.push(names.length < MAX_NAMES ? `"${name.slice(0, MAX_SHOWN)}"` : 'others')
    if (names.length > MAX_NAMES) break
  }
  const has = names.length === 0 ? 'it has no active config' : `its active configs are ${names.join(', ')}`
  return new BrokerError('model_not_found', { reason: `${lookedFor}; ${has}` })
}

/** A call is worth so many tries, whatever the number of a key's configs. */
const MAX_CONFIGS_TRIED = 4

/** Those to try, of all that may answer: configs that rest come last, asked only if nobody else can answer. */
export function worthTrying(
  routes: Iterable<Route>,
  isAvailable: (route: Route) => boolean,
): readonly Route[] {
  if (Array.isArray(routes) && routes.length === 1) return routes // whether it rests or not
  const resting: Route[] = []
  const chosen: Route[] = []
  for (const route of routes) {
    if (isAvailable(route)) chosen.push(route)
    else if (resting.length < MAX_CONFIGS_TRIED) resting.push(route)
    if (chosen.length === MAX_CONFIGS_TRIED) return chosen
  }
  return [...chosen, ...resting].slice(0, MAX_CONFIGS_TRIED)
}
