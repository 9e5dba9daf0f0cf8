/**
 * One completion of one token, to see whether a credential is taken where it is sent.
 */
import { type Dispatcher, request } from 'undici'
import { SECOND } from '../base/clock.ts'
import { reasonOf } from '../base/failure.ts'
import type { Provider } from '../provider/provider.ts'
import { requestHeaders } from '../upstream/headers.ts'
import type { UpstreamTarget } from '../upstream/resource-url.ts'
import { beginningOf } from './answer-beginning.ts'
import type { UpstreamAnswer } from './judge-answer.ts'

const TIMEOUT_MS = 30 * SECOND

export interface Trial {
  readonly provider: Provider
  readonly target: UpstreamTarget
  readonly token: string
  readonly model: string
}

/** The answer, or why there is none. Never throws. */
export async function complete(
  { provider, target, token, model }: Trial,
  dispatcher: Dispatcher,
  timeoutMs = TIMEOUT_MS,
): Promise<UpstreamAnswer | string> {
  try {
    const answer = await request(`${target.origin}${target.basePath}/chat/completions`, {
      method: 'POST',
      dispatcher,
      signal: AbortSignal.timeout(timeoutMs),
      headers: requestHeaders({ 'content-type': 'application/json' }, provider.upstream.headers, token),
      body: JSON.stringify({ model, max_tokens: 1, messages: [{ role: 'user', content: 'ping' }] }),
    })
    const contentType = String(answer.headers['content-type'] ?? '')
    return { status: answer.statusCode, contentType, body: await beginningOf(answer.body) }
  } catch (error) {
    return reasonOf(error, timeoutMs)
  }
}
