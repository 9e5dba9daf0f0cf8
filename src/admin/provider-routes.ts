/**
 * `GET /api/providers`: what a config can be made for, as a form needs it.
 */
import type { FastifyInstance } from 'fastify'
import type { BySchema } from '../base/typed-routes.ts'
import type { Provider } from '../provider/provider.ts'
import type { Config } from '../settings/config.ts'
import { PROVIDERS, type ProviderItem } from './config-answers.ts'
import { guarded } from './guard.ts'

export async function providerRoutes(
  fastify: FastifyInstance,
  { providers, configFile }: Pick<Config, 'providers' | 'configFile'>,
): Promise<void> {
  const app = fastify.withTypeProvider<BySchema>()
  app.get(
    '/api/providers',
    {
      schema: {
        ...guarded('listProviders', 'accounts', 'What an account can be made for'),
        response: { 200: PROVIDERS },
      },
    },
    async () => ({ config_file: configFile ?? null, items: [...providers.values()].map(providerItem) }),
  )
}

function providerItem({ name, label, helpUrl, kind, upstream, missingLines }: Provider): ProviderItem {
  const { baseUrl = null, models } = upstream
  return {
    name,
    label,
    help_url: helpUrl ?? null,
    credential: kind,
    base_url: baseUrl,
    models,
    serves_completions: kind === 'api_key' || baseUrl !== null || upstream.resourceHosts.size > 0,
    missing_lines: missingLines ?? null,
  }
}
