/**
 * What a config's endpoint says that it serves (`GET …/models`), for a form to fill in. Many say it in OpenAI's words,
 * some in others, and some not at all.
 */
import { SECOND } from '../base/clock.ts'
import { reasonOf } from '../base/failure.ts'
import type { Said } from '../base/language.ts'
import { accessOf } from '../credential/credential.ts'
import type { Credentials } from '../credential/credentials.ts'
import type { UpstreamAccess } from '../upstream/access.ts'
import type { Agents } from '../upstream/agent.ts'
import { beginningOf } from './answer-beginning.ts'
import { askUpstream } from './ask-upstream.ts'

export interface UpstreamModels {
  /** In upstream's order, as many as a config can list. */
  readonly models: readonly string[]
  /** Why there are none. */
  readonly reason: Said | undefined
}

export interface UpstreamModelsParts {
  readonly credentials: Pick<Credentials, 'usable'>
  readonly agents: Pick<Agents, 'of'>
}

const TIMEOUT_MS = 20 * SECOND
/** Marketplaces list hundreds, each with its prices. */
const MAX_BYTES = 4 * 1024 * 1024
const MAX_MODELS = 500
const MAX_CHARACTERS = 255
/** Gemini's own API, for one, puts it in front of every name. */
const FOLDER = /^models\//

/** @throws BrokerError as {@link Credentials.usable} | upstream_not_allowed | upstream_not_configured */
export async function upstreamModels(configId: string, parts: UpstreamModelsParts): Promise<UpstreamModels> {
  return modelsAt(accessOf(await parts.credentials.usable(configId)), parts.agents)
}

/** Never throws. */
export async function modelsAt(access: UpstreamAccess, agents: Pick<Agents, 'of'>): Promise<UpstreamModels> {
  try {
    const question = { method: 'GET', target: '/v1/models' } as const
    const answer = await askUpstream(access, question, agents, TIMEOUT_MS)
    const text = await beginningOf(answer.body, MAX_BYTES)
    const { statusCode } = answer
    if (statusCode !== 200)
      return none(`the endpoint answered with status ${statusCode}`, `上游响应 ${statusCode}`)
    const models = modelsIn(text)
    return models.length > 0
      ? { models, reason: undefined }
      : none('the endpoint has no list', '上游没有模型列表')
  } catch (error) {
    const why = reasonOf(error, TIMEOUT_MS)
    return none(`the endpoint cannot be reached (${why})`, `无法连接上游服务（${why}）`)
  }
}

function none(english: string, chinese: string): UpstreamModels {
  return { models: [], reason: { english, chinese } }
}

/** `{data: [{id}]}`, `{models: [{name} | {id} | {model}]}`, a list of either, or of names; [] for anything else. */
export function modelsIn(text: string): string[] {
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    return []
  }
  const { data, models } = (answer ?? {}) as { data?: unknown; models?: unknown }
  const list = [data, models, answer].find(Array.isArray) ?? []
  const names = list.map(nameOf).filter((name) => name !== undefined)
  return [...new Set(names)].slice(0, MAX_MODELS)
}

function nameOf(entry: unknown): string | undefined {
  const { id, name, model } = (typeof entry === 'object' && entry !== null ? entry : { id: entry }) as {
    id?: unknown
    name?: unknown
    model?: unknown
  }
  const text = [id, model, name].find((value) => typeof value === 'string')?.replace(FOLDER, '')
  return text && text.length <= MAX_CHARACTERS ? text : undefined
}
