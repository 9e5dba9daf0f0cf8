/**
 * `GET /v1/models` where upstream has no list of its own, or where the key is over several configs.
 */
import type { ApiKey } from '../api-key/api-keys.ts'
import type { Provider } from '../base/provider.ts'
import type { ModelConfig } from '../model-config/model-configs.ts'

export interface ModelsList {
  readonly object: 'list'
  readonly data: readonly { id: string; object: 'model'; created: number; owned_by: string }[]
}

/** Undefined if the one config of the key has an upstream that answers for itself. */
export function modelsList(
  key: Pick<ApiKey, 'models'>,
  configs: readonly ModelConfig[],
  providers: ReadonlyMap<string, Provider>,
): ModelsList | undefined {
  const active = configs.filter((config) => config.isActive)
  const [only] = active
  if (active.length === 1 && only && providers.get(only.provider)?.upstream.models.length === 0)
    return undefined
  const owners = new Map<string, string>()
  for (const config of active) {
    const listed = config.models.map((model) => model.model_id)
    const served = listed.length > 0 ? listed : (providers.get(config.provider)?.upstream.models ?? [])
    for (const id of [...Object.keys(config.aliases), ...served]) {
      if (!owners.has(id) && (!key.models || key.models.includes(id))) owners.set(id, config.name)
    }
  }
  const data = [...owners].map(([id, owned_by]) => ({ id, object: 'model' as const, created: 0, owned_by }))
  return { object: 'list', data }
}
