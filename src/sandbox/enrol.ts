/**
 * Connects the sandbox to a fresh broker the way a person would: over HTTP, through the real device flow.
 *
 * A database has bad moments, and other replicas start at the same time: neither is a reason to give up.
 */
import type { IncomingMessage, RequestOptions } from 'node:http'
import { json } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from '../base/node-http.ts'
import type { Sandbox } from './sandbox.ts'

export interface Enrolment {
  /** The broker key, shown once. */
  readonly key: string
}

const CONFIG_NAME = 'sandbox'
const MODELS = ['sandbox-model', 'sandbox-embedding']
const MAX_POLLS = 20
/** So often a call is made again that was answered 503. */
const MAX_REPEATS = 30

interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
  /** It may have been carried out before, by a try that was answered 503. */
  readonly isRepeated: boolean
}

type Call = (method: string, path: string, body?: object) => Promise<Answer>

/**
 * Undefined if the broker already has configs or keys, or gets them from another replica meanwhile.
 * @param broker its address, e.g. http://127.0.0.1:8787
 */
export async function enrolSandbox(
  broker: string,
  adminToken: string,
  sandbox: Pick<Sandbox, 'approve'>,
): Promise<Enrolment | undefined> {
  const call: Call = (method, path, body) => callPatiently(broker + path, method, adminToken, body)
  const good: (...asked: Parameters<Call>) => Promise<Answer['body']> = async (method, path, body) => {
    const answer = await call(method, path, body)
    if (answer.status > 299) throw new Error(`${method} ${path}: ${answer.status} ${answer.body['code']}`)
    return answer.body
  }

  const configs = await good('GET', '/api/models/configs?page_size=1')
  const keys = await good('GET', '/api/keys?page_size=1')
  if (configs['total'] !== 0 || keys['total'] !== 0) return undefined

  const session = await good('POST', '/api/sandbox/oauth/device-code', {})
  await sandbox.approve(String(session['user_code']))
  const status = `/api/sandbox/oauth/status?session_id=${session['session_id']}`
  for (let polls = 0; (await good('GET', status))['status'] !== 'success'; polls += 1) {
    if (polls === MAX_POLLS) throw new Error('the sandbox did not grant its own login')
    await sleep(Number(session['interval']) * 1000)
  }
  const made = await call('POST', '/api/models/configs', {
    name: CONFIG_NAME,
    provider: 'sandbox',
    models: MODELS.map((model_id) => ({ model_id })),
    oauth_session_id: session['session_id'],
  })
  if (made.status === 409 && !made.isRepeated) return undefined
  const id = made.status > 299 && made.isRepeated ? await onlyConfig(good) : made.body['id']
  if (id === undefined) throw new Error(`the sandbox's config: ${made.status} ${made.body['code']}`)
  const key = await good('POST', '/api/keys', { name: 'first key', model_config_ids: [id] })
  return { key: String(key['key']) }
}

/** Ours, where the answer that told of it was lost: its name is taken, or its session used up. */
async function onlyConfig(good: (method: string, path: string) => Promise<Answer['body']>): Promise<unknown> {
  const { items } = await good('GET', '/api/models/configs?provider=sandbox')
  const found = (items as { id: string; name: string }[]).find(({ name }) => name === CONFIG_NAME)
  return found?.id
}

async function callPatiently(
  url: string,
  method: string,
  adminToken: string,
  body: object | undefined,
): Promise<Answer> {
  const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' }
  for (let repeats = 0; ; repeats += 1) {
    const response = await send(url, { method, headers, agent: false }, body)
    const answer = (await json(response)) as Record<string, unknown>
    const { statusCode: status = 0 } = response
    if (status !== 503 || repeats === MAX_REPEATS) return { status, body: answer, isRepeated: repeats > 0 }
    await sleep(1000 * Math.max(1, Number(response.headers['retry-after']) || 0))
  }
}

/** Not `fetch`: its first call takes 15 MB of memory, and this one is made at every start. */
function send(url: string, options: RequestOptions, body?: object): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(url, options, resolve)
      .on('error', reject)
      .end(body && JSON.stringify(body))
  })
}
