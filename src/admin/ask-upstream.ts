/**
 * A question of our own to an endpoint, as a client's call would reach it.
 */
import { type Dispatcher, request } from 'undici'
import type { UpstreamAccess } from '../upstream/access.ts'
import type { Agents } from '../upstream/agent.ts'

export interface Question {
  readonly method: 'GET' | 'POST'
  /** As a client would ask for it, e.g. `/v1/models`. */
  readonly target: string
  /** What is sent as JSON. */
  readonly body?: object
}

/** @throws whatever undici does, and a TimeoutError */
export function askUpstream(
  access: UpstreamAccess,
  { method, target, body }: Question,
  agents: Pick<Agents, 'of'>,
  timeoutMs: number,
): Promise<Dispatcher.ResponseData> {
  const json = 'application/json'
  const sent = access.request({
    method,
    target,
    headers: body ? { 'content-type': json } : { accept: json },
    body: body ? Buffer.from(JSON.stringify(body)) : null,
  })
  const signal = AbortSignal.timeout(timeoutMs)
  return request(sent.origin + sent.path, {
    method,
    dispatcher: agents.of(access.egress),
    signal,
    headers: sent.headers,
    body: sent.body,
  })
}

/** As short as a completion can be. */
export function completionOf(model: string): Question {
  const body = { model, max_tokens: 1, messages: [{ role: 'user', content: 'ping' }] }
  return { method: 'POST', target: '/v1/chat/completions', body }
}
