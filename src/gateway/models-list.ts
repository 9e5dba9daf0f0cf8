/**
 * `GET /v1/models` where upstream has no list of its own, or where the key is over several configs.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ApiKey } from '../api-key/api-key.ts'
import { BrokerError } from '../base/errors.ts'
import { type ConfigIndex, type ModelConfig, namesOf, type Served } from '../model-config/config-index.ts'
import type { Provider } from '../provider/provider.ts'
import { hasUnreadBody } from './request-body.ts'
import { chooseRoutes } from './routing.ts'

export function isModelsList({ method, raw }: FastifyRequest): boolean {
  return method === 'GET' && (raw.url === '/v1/models' || raw.url?.startsWith('/v1/models?') === true)
}

export interface ModelsList {
  readonly object: 'list'
  readonly data: readonly { id: string; object: 'model'; created: number; owned_by: string }[]
}

export function sendList(list: string, request: FastifyRequest, reply: FastifyReply): void {
  if (hasUnreadBody(request.raw)) reply.header('connection', 'close')
  reply.header('x-request-id', request.id).type('application/json; charset=utf-8').send(list)
}

/**
 * A list of {@link ModelsList} as JSON, or undefined if the one config of the key has an upstream that answers for
 * itself, and may say all it has.
 */
export function modelsList(
  key: Pick<ApiKey, 'models'>,
  scope: ConfigIndex,
  providers: ReadonlyMap<string, Provider>,
): string | undefined {
  if (key.models) return JSON.stringify(listOf(ownModels(key.models, scope)))
  const only = onlyActive(scope)
  if (only && providers.get(only.provider)?.upstream.models.length === 0) return undefined
  return wholeList(scope)
}

function onlyActive({ all }: ConfigIndex): ModelConfig | undefined {
  const active = all.find(({ isActive }) => isActive)
  const isOnly = all.findLast(({ isActive }) => isActive) === active
  return isOnly ? active : undefined
}

const wholeLists = new WeakMap<ConfigIndex, { readonly version: number; readonly text: string }>()

/** Everything that the configs of a scope answer to. Thousands of configs may: it is kept until they change. */
function wholeList(scope: ConfigIndex): string {
  const { version } = scope
  const known = wholeLists.get(scope)
  if (known?.version === version) return known.text
  const owners: [string, string][] = []
  const seen = new Set<Served>()
  for (const config of scope.all) {
    // The first of all that list the same stands before the others everywhere.
    if (!config.isActive || seen.has(config.served)) continue
    seen.add(config.served)
    for (const id of namesOf(config.served)) {
      if (scope.answering(id)[0] === config) owners.push([id, config.name])
    }
  }
  const text = JSON.stringify(listOf(owners))
  wholeLists.set(scope, { version, text })
  return text
}

/** Those of a limited key that are served, whether or not a config lists them. */
function ownModels(models: readonly string[], scope: ConfigIndex): Map<string, string> {
  const owners = new Map<string, string>()
  for (const id of models) {
    const owner = ownerOf(id, models, scope)
    if (owner !== undefined) owners.set(id, owner)
  }
  return owners
}

function ownerOf(id: string, models: readonly string[], scope: ConfigIndex): string | undefined {
  try {
    const [first] = chooseRoutes({ models }, scope, id)
    return first?.config.name
  } catch (error) {
    if (error instanceof BrokerError) return undefined
    throw error
  }
}

function listOf(owners: Iterable<readonly [id: string, owner: string]>): ModelsList {
  const data = [...owners].map(([id, owned_by]) => ({ id, object: 'model' as const, created: 0, owned_by }))
  return { object: 'list', data }
}
