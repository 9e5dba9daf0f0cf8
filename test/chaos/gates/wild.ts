/**
 * The set of the stream gates: one broker in front of a wild upstream, and calls that tell it what to do.
 */
import { request } from 'undici'
import { type Broker, startBroker } from '../broker.ts'
import { startWildUpstream, type WildUpstream } from '../fixtures/wild-upstream.ts'
import type { Lab } from '../lab.ts'
import { must, openSandbox, openSchema, sharedServer } from '../stage.ts'

export interface WildScene {
  readonly lab: Lab
  readonly broker: Broker
  readonly upstream: WildUpstream
  /** Another key for the same config. */
  createKey(fields?: object): Promise<string>
}

export const MODEL = 'wild-model'

export async function openWild(lab: Lab, nodeArgs: readonly string[] = []): Promise<WildScene> {
  const upstream = await startWildUpstream()
  lab.atEnd(() => upstream.close())
  const sandbox = await openSandbox(lab)
  const schema = await openSchema(lab, await sharedServer())
  const broker = await startBroker(lab, {
    databaseUrl: schema.url,
    sandbox: sandbox.origin,
    providers: { wild: { credential: 'api_key', upstream: { base_url: `${upstream.origin}/v1` } } },
    nodeArgs,
  })
  const fields = { name: 'wild', provider: 'wild', models: [{ model_id: MODEL }], api_key: 'sk-wild' }
  const { id } = await must(broker.admin('POST', 'models/configs', fields))
  const createKey = async (more: object = {}) => {
    const created = await must(
      broker.admin('POST', 'keys', { name: 'wild', model_config_ids: [id], ...more }),
    )
    return String(created['key'])
  }
  return { lab, broker, upstream, createKey }
}

export function bodyOf(user: string): string {
  return JSON.stringify({ model: MODEL, user, stream: true, messages: [{ role: 'user', content: 'hi' }] })
}

/** A whole call, whatever its end. @returns its text so far if it was cut */
export async function ask(
  { broker }: Pick<WildScene, 'broker'>,
  key: string,
  user: string,
): Promise<{ status: number; text: string; isCut: boolean }> {
  const answer = await request(`${broker.origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: bodyOf(user),
  })
  let text = ''
  try {
    for await (const chunk of answer.body) text += chunk
    return { status: answer.statusCode, text, isCut: false }
  } catch {
    return { status: answer.statusCode, text, isCut: true }
  }
}
