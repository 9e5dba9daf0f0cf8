/**
 * `GET /api/providers`: what a config can be made for, as a form needs it.
 */
import type { FastifyInstance } from 'fastify'
import type { BySchema } from '../base/typed-routes.ts'
import type { Input } from '../provider/inputs.ts'
import type { Provider } from '../provider/provider.ts'
import type { Config } from '../settings/config.ts'
import { PROVIDERS, type ProviderInput, type ProviderItem } from './config-answers.ts'
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

function providerItem(provider: Provider): ProviderItem {
  const { name, label, labels, vendor, variant, region, helpUrl, kind, upstream, inputs } = provider
  const { baseUrl = null, models } = upstream
  return {
    name,
    label,
    label_zh: labels.chinese,
    vendor: vendor.english,
    vendor_zh: vendor.chinese,
    variant: variant?.english ?? null,
    variant_zh: variant?.chinese ?? null,
    region: region?.english ?? null,
    region_zh: region?.chinese ?? null,
    help_url: helpUrl ?? null,
    credential: kind,
    base_url: baseUrl,
    models,
    serves_completions: kind === 'api_key' || baseUrl !== null || upstream.resourceHosts.size > 0,
    missing_lines: provider.missingLines ?? null,
    missing_variables: [...provider.missingVariables],
    inputs: inputs.map(inputItem),
  }
}

function inputItem(input: Input): ProviderInput {
  const { label, help, file, pattern, allowedSuffixes } = input
  const isShown = !input.isSecret && typeof input.default === 'string'
  return {
    name: input.name,
    label: label.english,
    label_zh: label.chinese,
    help: help?.english ?? null,
    help_zh: help?.chinese ?? null,
    help_url: input.helpUrl ?? null,
    example: input.example ?? null,
    type: input.type,
    secret: input.isSecret,
    required: input.isRequired,
    has_default: input.default !== undefined,
    default: isShown ? (input.default ?? null) : null,
    pattern: pattern?.source ?? null,
    choices: input.choices ?? null,
    file: file ? { accept: file.accept ?? null, max_bytes: input.maxBytes } : null,
    allowed_suffixes: allowedSuffixes.length > 0 ? allowedSuffixes : null,
    any_host: input.isAnyHost,
  }
}
