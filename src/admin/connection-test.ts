/**
 * `POST /api/models/configs/test-connection`: one completion of one token, with a base URL and a key not stored yet.
 */
import { type Dispatcher, request } from 'undici'
import { SECOND } from '../base/clock.ts'
import { addressProblem } from '../base/provider.ts'
import type { ConnectionTestBody } from './schemas.ts'

export interface ConnectionTestAnswer {
  readonly success: boolean
  readonly message: string
  readonly raw_error?: string
}

const TIMEOUT_MS = 20 * SECOND
const MAX_SHOWN = 2_000

/** Never throws: whatever goes wrong is the answer. The key never shows in it. */
export async function testConnection(
  body: ConnectionTestBody,
  dispatcher: Dispatcher,
  allowsInsecureLoopback: boolean,
): Promise<ConnectionTestAnswer> {
  const problem = addressProblem(body.base_url, allowsInsecureLoopback)
  if (problem) return { success: false, message: `base_url ${problem}` }
  try {
    const answer = await request(`${body.base_url.replace(/\/+$/, '')}/chat/completions`, {
      method: 'POST',
      dispatcher,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: { 'content-type': 'application/json', authorization: `Bearer ${body.api_key}` },
      body: JSON.stringify({
        model: body.model_id,
        max_tokens: 1,
        messages: [{ role: 'user', content: 'ping' }],
      }),
    })
    const text = (await answer.body.text()).replaceAll(body.api_key, '…').slice(0, MAX_SHOWN)
    if (answer.statusCode === 200) return { success: true, message: '连接成功 · The endpoint answered' }
    return {
      success: false,
      message: `连接失败 · The endpoint answered with status ${answer.statusCode}`,
      raw_error: text,
    }
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException
    return { success: false, message: `连接失败 · The endpoint cannot be reached (${code ?? name})` }
  }
}
