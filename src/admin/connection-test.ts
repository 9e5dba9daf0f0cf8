/**
 * `POST /api/models/configs/test-connection`: one completion of one token, with a base URL and a key not stored yet.
 */
import { SECOND } from '../base/clock.ts'
import { reasonOf } from '../base/failure.ts'
import type { Language } from '../base/language.ts'
import { withoutQuoted } from '../base/quoted.ts'
import { reaching } from '../provider/places.ts'
import { addressProblem } from '../provider/upstream-address.ts'
import { PLAIN_UPSTREAM } from '../provider/upstream-config.ts'
import type { Config } from '../settings/config.ts'
import { accessTo, UpstreamAccess } from '../upstream/access.ts'
import type { Agents } from '../upstream/agent.ts'
import { toTarget } from '../upstream/resource-url.ts'
import { beginningOf } from './answer-beginning.ts'
import { askUpstream, completionOf } from './ask-upstream.ts'
import type { ConnectionTestAnswer } from './config-answers.ts'
import { defaultThatFollows } from './input-forms.ts'
import type { ConnectionTestBody } from './schemas.ts'
import { modelsAt } from './upstream-models.ts'

const TIMEOUT_MS = 20 * SECOND
const MAX_SHOWN = 2_000

/** Never throws: whatever goes wrong is the answer. The key never shows in it. */
export async function testConnection(
  body: ConnectionTestBody,
  agents: Pick<Agents, 'of'>,
  { allowInsecureLoopback, providers }: Pick<Config, 'allowInsecureLoopback' | 'providers'>,
  language: Language,
): Promise<ConnectionTestAnswer> {
  const provider = providers.get(body.provider ?? '')
  const allowing = provider ? [provider] : [...providers.values()]
  const httpHosts = new Set(allowing.flatMap(({ upstream }) => [...upstream.httpHosts]))
  const problem = addressProblem(body.base_url, allowInsecureLoopback, httpHosts)
  if (problem) return { success: false, message: `base_url ${problem}` }
  const say = (english: string, chinese: string) => (language === 'zh' ? chinese : english)
  if (body.provider && !provider)
    return { success: false, message: say('There is no such provider', '提供方不存在') }
  const kept = provider && defaultThatFollows(provider, reaching(provider, body.base_url))
  if (kept !== undefined) {
    const [english, chinese] = [`The default of inputs.${kept} never goes`, `inputs.${kept} 的默认值不会发往`]
    return { success: false, message: say(`${english} to another base_url`, `${chinese}其他 base_url`) }
  }
  const grounds = { token: body.api_key, resourceUrl: undefined, baseUrl: body.base_url }
  const access = provider
    ? accessTo(provider, grounds)
    : UpstreamAccess.withToken(toTarget(body.base_url), PLAIN_UPSTREAM, body.api_key)
  const listed = body.model_id === undefined ? await modelsAt(access, agents) : undefined
  const model = body.model_id ?? listed?.models[0]
  if (model === undefined) {
    const { english = '', chinese = '' } = listed?.reason ?? {}
    return { success: false, message: say(`Name a model_id: ${english}`, `请填写 model_id：${chinese}`) }
  }
  try {
    const answer = await askUpstream(access, completionOf(model), agents, TIMEOUT_MS)
    const text = withoutQuoted((await beginningOf(answer.body)).slice(0, MAX_SHOWN), [body.api_key])
    const { statusCode: status } = answer
    if (status === 200) return { success: true, message: say('The endpoint answered', '连接成功') }
    const message = say(`The endpoint answered with status ${status}`, `连接失败：上游响应 ${status}`)
    return { success: false, message, raw_error: text }
  } catch (error) {
    const why = reasonOf(error, TIMEOUT_MS)
    const message = say(`The endpoint cannot be reached (${why})`, `连接失败：无法连接上游服务（${why}）`)
    return { success: false, message }
  }
}
