/**
 * Connects the sandbox to a fresh broker the way a person would: over HTTP, through the real device flow.
 */
import { type IncomingMessage, type RequestOptions, request } from 'node:http'
import { json } from 'node:stream/consumers'
import type { Sandbox } from './sandbox.ts'

export interface Enrolment {
  /** The broker key, shown once. */
  readonly key: string
}

const CONFIG_NAME = 'sandbox'
const MODELS = ['sandbox-model', 'sandbox-embedding']
const MAX_POLLS = 20

/** Undefined if the broker already has configs or keys. @param broker its address, e.g. http://127.0.0.1:8787 */
export async function enrolSandbox(
  broker: string,
  adminToken: string,
  sandbox: Pick<Sandbox, 'approve'>,
): Promise<Enrolment | undefined> {
  const call = async (method: string, path: string, body?: object): Promise<Record<string, unknown>> => {
    const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' }
    const response = await send(broker + path, { method, headers, agent: false }, body)
    const answer = (await json(response)) as Record<string, unknown>
    const { statusCode = 0 } = response
    if (statusCode < 200 || statusCode > 299)
      throw new Error(`${method} ${path}: ${statusCode} ${answer['code']}`)
    return answer
  }

  const configs = await call('GET', '/api/models/configs')
  const keys = await call('GET', '/api/keys')
  if (configs['total'] !== 0 || keys['total'] !== 0) return undefined

  const session = await call('POST', '/api/sandbox/oauth/device-code', {})
  await sandbox.approve(String(session['user_code']))
  const status = `/api/sandbox/oauth/status?session_id=${session['session_id']}`
  for (let polls = 0; (await call('GET', status))['status'] !== 'success'; polls += 1) {
    if (polls === MAX_POLLS) throw new Error('the sandbox did not grant its own login')
    await new Promise((resolve) => setTimeout(resolve, Number(session['interval']) * 1000))
  }
  const config = await call('POST', '/api/models/configs', {
    name: CONFIG_NAME,
    provider: 'sandbox',
    models: MODELS.map((model_id) => ({ model_id })),
    oauth_session_id: session['session_id'],
  })
  const key = await call('POST', '/api/keys', { name: 'first key', model_config_ids: [config['id']] })
  return { key: String(key['key']) }
}

/** Not `fetch`: its first call takes 15 MB of memory, and this one is made at every start. */
function send(url: string, options: RequestOptions, body?: object): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(url, options, resolve)
      .on('error', reject)
      .end(body && JSON.stringify(body))
  })
}
