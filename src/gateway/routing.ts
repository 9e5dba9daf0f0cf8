/**
 * Which configs may answer, in which order: `config-name/model-id`, else every active config of the key that
 * lists the model, else the key's only config (interface.md §6). Decides from what the key allows and the model
 * asked for, never from anything else the client can set.
 *
 * The order is the key's own and does not change from call to call, so a conversation stays with the config that
 * has its prompt cached. How users are spread over configs, where a provider file asks for that: `sticky.ts`.
 */
import type { ApiKey } from '../api-key/api-keys.ts'
import { BrokerError } from '../base/errors.ts'
import type { ModelConfig } from '../model-config/model-configs.ts'

export interface Route {
  readonly config: ModelConfig
  /** What upstream is asked for; undefined where the request names no model. */
  readonly model: string | undefined
}

/** At least one. @throws BrokerError model_not_found */
export function chooseRoutes(
  key: Pick<ApiKey, 'models'>,
  configs: readonly ModelConfig[],
  asked: string | undefined,
): readonly [Route, ...Route[]] {
  if (asked === undefined) return [{ config: onlyConfig(configs, undefined), model: undefined }]
  const named = byName(configs, asked)
  const routes = named ? [named] : listing(configs, asked)
  const [first, ...others] = routes.filter(({ model }) => isAllowed(key, model, asked))
  if (first) return [first, ...others]
  if (routes.length > 0 || !isAllowed(key, asked, asked)) throw notFound(asked)
  return [{ config: onlyConfig(configs, asked), model: asked }]
}

/**
 * For a request whose model we cannot read: upstream may read one all the same (in a form, in another encoding),
 * or choose one itself. @throws BrokerError model_not_found if the key is limited to models
 */
export function assertUnlimited(key: Pick<ApiKey, 'models'>): void {
  if (!key.models) return
  const reason = 'this key is limited to models, and the request names none in a JSON body'
  throw new BrokerError('model_not_found', { reason })
}

function isAllowed(key: Pick<ApiKey, 'models'>, model: string | undefined, asked: string): boolean {
  return !key.models || key.models.includes(asked) || (model !== undefined && key.models.includes(model))
}

/** Config names may hold slashes, and so may model ids: the longest name that fits wins. */
function byName(configs: readonly ModelConfig[], asked: string): Route | undefined {
  let best: ModelConfig | undefined
  for (const config of configs) {
    if (
      config.isActive &&
      asked.startsWith(`${config.name}/`) &&
      config.name.length > (best?.name.length ?? -1)
    ) {
      best = config
    }
  }
  if (!best) return undefined
  const model = asked.slice(best.name.length + 1)
  return { config: best, model: aliasIn(best, model) ?? model }
}

function listing(configs: readonly ModelConfig[], asked: string): Route[] {
  const routes: Route[] = []
  for (const config of configs) {
    if (!config.isActive) continue
    const alias = aliasIn(config, asked)
    if (alias !== undefined) routes.push({ config, model: alias })
    else if (config.models.some(({ model_id }) => model_id === asked)) routes.push({ config, model: asked })
  }
  return routes
}

/** Own names only: `toString` is no alias. */
function aliasIn({ aliases }: ModelConfig, asked: string): string | undefined {
  return Object.hasOwn(aliases, asked) ? aliases[asked] : undefined
}

function onlyConfig(configs: readonly ModelConfig[], asked: string | undefined): ModelConfig {
  const [only] = configs
  if (only?.isActive && configs.length === 1) return only
  throw notFound(asked)
}

function notFound(asked: string | undefined): BrokerError {
  const reason = asked === undefined ? 'the request names no model' : `model "${asked.slice(0, 100)}"`
  return new BrokerError('model_not_found', { reason })
}
