/** What an account's endpoint says that it serves. */

import type { ListedModels, ModelConfigItem } from '../../admin/config-answers.ts'
import { api, get } from '../api.ts'

const MOST_MODELS = 500

export function listedModels(configId: string): Promise<ListedModels> {
  return get<ListedModels>(`/api/models/configs/${configId}/models`)
}

/**
 * Gives an account without models those that its endpoint lists: beside other accounts it is found by them, and usage
 * tells them apart. One whose endpoint has no list stays as it is.
 */
export async function withListedModels(config: ModelConfigItem): Promise<ModelConfigItem> {
  const { models } = await listedModels(config.id)
  if (models.length === 0) return config
  return api<ModelConfigItem>('PUT', `/api/models/configs/${config.id}`, {
    models: models.slice(0, MOST_MODELS).map((model_id) => ({ model_id })),
    updated_at: config.updated_at,
  })
}
