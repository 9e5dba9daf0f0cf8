/**
 * `GET /v1/models`, and of one of them, where upstream has no list of its own, or where the key is over several configs.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ApiKey } from '../api-key/api-key.ts'
import { BrokerError } from '../base/errors.ts'
import { type ConfigIndex, type ModelConfig, namesOf, type Served } from '../model-config/config-index.ts'
import type { Provider } from '../provider/provider.ts'
import { isOfAnthropic } from './api-error.ts'
import { hasUnreadBody } from './request-body.ts'
import { chooseRoutes, modelNotFound } from './routing.ts'
import { decoded } from './target.ts'

export interface ModelsList {
  readonly object: 'list'
  readonly data: readonly Model[]
}

interface Model {
  readonly id: string
  readonly object: 'model'
  readonly created: number
  readonly owned_by: string
}

type Limited = Pick<ApiKey, 'models'>

/** @param answer of {@link ownAnswer} */
export function sendOwn(answer: string, request: FastifyRequest, reply: FastifyReply): void {
  const text = isOfAnthropic(request) ? JSON.stringify(inAnthropicsShape(JSON.parse(answer))) : answer
  if (hasUnreadBody(request.raw)) reply.header('connection', 'close')
  reply.header('x-request-id', request.id).type('application/json; charset=utf-8').send(text)
}

/** Where nobody knows when a model was made, Anthropic has the beginning of time. */
const UNKNOWN_DATE = new Date(0).toISOString()

/** As Anthropic's API has them; all are on one page. */
function inAnthropicsShape(own: ModelsList | Model): object {
  if (!('data' in own)) return { type: 'model', id: own.id, display_name: own.id, created_at: UNKNOWN_DATE }
  const ends = { first_id: own.data[0]?.id ?? null, last_id: own.data.at(-1)?.id ?? null }
  return { data: own.data.map(inAnthropicsShape), has_more: false, ...ends }
}

/**
 * What the broker answers itself, as JSON: `GET /v1/models` and `GET /v1/models/{id}`. Undefined for all other calls.
 * @throws BrokerError model_not_found
 */
export function ownAnswer(
  { method, raw: { url = '' } }: FastifyRequest,
  key: Limited,
  scope: ConfigIndex,
  providers: ReadonlyMap<string, Provider>,
): string | undefined {
  if (method !== 'GET' || !url.startsWith(MODELS)) return undefined
  const [path = ''] = url.split('?', 1)
  if (path === MODELS) return modelsList(key, scope, providers)
  const id = idIn(path)
  if (id === undefined || isUpstreams(key, scope, providers)) return undefined
  const owner = ownerOf(id, key, scope)
  if (owner === undefined) throw modelNotFound(scope, id)
  return JSON.stringify(modelOf(id, owner))
}

const MODELS = '/v1/models'

/** Behind `/v1/models/`, with slashes or without; undefined if nothing is asked for in this way. */
function idIn(path: string): string | undefined {
  if (!path.startsWith(`${MODELS}/`) || path.length === MODELS.length + 1) return undefined
  return decoded(path.slice(MODELS.length + 1))
}

/** A list of {@link ModelsList} as JSON, or undefined if upstream answers. */
export function modelsList(
  key: Limited,
  scope: ConfigIndex,
  providers: ReadonlyMap<string, Provider>,
): string | undefined {
  if (key.models) return JSON.stringify(listOf(ownModels(key.models, scope)))
  return isUpstreams(key, scope, providers) ? undefined : wholeList(scope)
}

/** The one config of the key has an upstream that answers for itself, and may say all it has. */
function isUpstreams(key: Limited, scope: ConfigIndex, providers: ReadonlyMap<string, Provider>): boolean {
  const only = key.models ? undefined : onlyActive(scope)
  return only !== undefined && providers.get(only.provider)?.upstream.models.length === 0
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
    const owner = ownerOf(id, { models }, scope)
    if (owner !== undefined) owners.set(id, owner)
  }
  return owners
}

/** The config that answers to this id, if the key may ask for it. */
function ownerOf(id: string, { models }: Limited, scope: ConfigIndex): string | undefined {
  if (!models) return scope.answering(id)[0]?.name
  if (!models.includes(id)) return undefined
  try {
    const [first] = chooseRoutes({ models }, scope, id)
    return first?.config.name
  } catch (error) {
    if (error instanceof BrokerError) return undefined
    throw error
  }
}

function listOf(owners: Iterable<readonly [id: string, owner: string]>): ModelsList {
  return { object: 'list', data: [...owners].map(([id, owner]) => modelOf(id, owner)) }
}

function modelOf(id: string, owner: string): Model {
  return { id, object: 'model', created: 0, owned_by: owner }
}
