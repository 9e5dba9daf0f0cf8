/**
 * `POST /api/models/configs/test-connection`: one completion of one token, with a base URL and a key not stored yet.
 */
import { type Dispatcher, request } from 'undici'
import { SECOND } from '../base/clock.ts'
import { reasonOf } from '../base/failure.ts'
import type { Language } from '../base/language.ts'
import { withoutQuoted } from '../base/quoted.ts'
import { addressProblem } from '../provider/upstream-address.ts'
import type { Config } from '../settings/config.ts'
import { beginningOf } from './answer-beginning.ts'
import type { ConnectionTestAnswer } from './config-answers.ts'
import type { ConnectionTestBody } from './schemas.ts'
import { modelsAt } from './upstream-models.ts'

const TIMEOUT_MS = 20 * SECOND
const MAX_SHOWN = 2_000

/** Never throws: whatever goes wrong is the answer. The key never shows in it. */
export async function testConnection(
  body: ConnectionTestBody,
  dispatcher: Dispatcher,
  { allowInsecureLoopback, providers }: Pick<Config, 'allowInsecureLoopback' | 'providers'>,
  language: Language,
): Promise<ConnectionTestAnswer> {
  const httpHosts = new Set([...providers.values()].flatMap(({ upstream }) => [...upstream.httpHosts]))
  const problem = addressProblem(body.base_url, allowInsecureLoopback, httpHosts)
  if (problem) return { success: false, message: `base_url ${problem}` }
  const say = (english: string, chinese: string) => (language === 'zh' ? chinese : english)
  const baseUrl = body.base_url.replace(/\/+$/, '')
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${body.api_key}` }
  const listed = body.model_id === undefined ? await modelsAt(baseUrl, headers, dispatcher) : undefined
  const model = body.model_id ?? listed?.models[0]
  if (model === undefined) {
    const { english = '', chinese = '' } = listed?.reason ?? {}
    return { success: false, message: say(`Name a model_id: ${english}`, `请填写 model_id：${chinese}`) }
  }
  try {
    const answer = await request(`${baseUrl}/chat/completions`, {
      method: 'POST',
      dispatcher,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers,
      body: JSON.stringify({ model, max_tokens: 1, messages: [{ role: 'user', content: 'ping' }] }),
    })
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
