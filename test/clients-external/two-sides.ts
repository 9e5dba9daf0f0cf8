/**
 * A recorder on a client's side, one on its server's, and in between nothing, or a broker with a key over one account or
 * over three.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Test } from 'tap'
import { must } from '../support/broker.ts'
import { BUILT, startProcess } from '../support/broker-process.ts'
import { modelsNamedIn } from './models-named.ts'
import { type Exchange, type Onward, startRecorder } from './recorder.ts'
import { type Comparison, compare } from './recordings.ts'

export const WAYS = ['direct', 'one config', 'three configs'] as const
type Way = (typeof WAYS)[number]

export interface TwoSides {
  /** Where the client calls, without `/v1`. */
  readonly origin: string
  /** Direct first: what models the accounts serve is what the client has asked for by then. */
  turnTo(way: Way): Promise<void>
  /** Of all calls since the last comparison. */
  compare(): Comparison
}

/** Of the accounts: name in the path → key. */
const ACCOUNTS = {
  a: 'sk-of-account-a-0123456789',
  b: 'sk-of-account-b-0123456789',
  c: 'sk-of-account-c-0123456789',
}
const NAMES = Object.keys(ACCOUNTS)

/** @param mock origin of the far end @param api shipped file of the accounts, and what their paths have before the mock's */
export async function standBetween(
  t: Pick<Test, 'teardown'>,
  mock: string,
  { provider, prefix }: { readonly provider: string; readonly prefix: string },
): Promise<TwoSides> {
  const far = await startRecorder(t, (call) => toMock(call, mock, prefix))
  const straight = { origin: `${far.origin}/a`, key: ACCOUNTS.a }
  let next = straight
  const near = await startRecorder(t, ({ headers }) => ({
    origin: next.origin,
    headers: { 'x-client-request-id': randomUUID(), ...withKey(headers, next.key) },
  }))
  let sent: Exchange[] = []
  const models = () => [...new Set(sent.flatMap(modelsNamedIn))]
  let keys: Promise<Record<Exclude<Way, 'direct'>, typeof straight>> | undefined
  const turnTo = async (way: Way) => {
    if (way !== 'direct') keys ??= startBroker(t, provider, far.origin, models())
    next = way === 'direct' ? straight : ((await keys)?.[way] ?? straight)
  }
  const compareAll = () => {
    sent = near.take()
    return compare(sent, far.take())
  }
  return { origin: near.origin, turnTo, compare: compareAll }
}

/** Straight to the account that the path names, if it is called with that account's key. */
function toMock({ url = '', headers }: IncomingMessage, mock: string, prefix: string): Onward | string {
  const [, account = '', target = ''] = /^\/(\w)(\/.*)$/.exec(url) ?? []
  const keys = Object.keys(withKey(headers, '')).map((name) =>
    headers[name]?.toString().replace('Bearer ', ''),
  )
  if (keys.length !== 1 || keys[0] !== ACCOUNTS[account as keyof typeof ACCOUNTS])
    return `not the key of "${account}"`
  return { origin: mock, target: target.replace(prefix, ''), recordedTarget: target }
}

/** The header in which a client says its key, with another one. */
function withKey(headers: IncomingHttpHeaders, key: string): IncomingHttpHeaders {
  return {
    ...(headers.authorization !== undefined && { authorization: `Bearer ${key}` }),
    ...(headers['x-api-key'] !== undefined && { 'x-api-key': key }),
  }
}

/** Each account serves every third model. */
async function startBroker(
  t: Pick<Test, 'teardown'>,
  provider: string,
  far: string,
  models: readonly string[],
) {
  const broker = await startProcess(t, { main: BUILT })
  const ids: string[] = []
  for (const [index, [name, api_key]] of Object.entries(ACCOUNTS).entries()) {
    const served = models.filter((_, n) => n % NAMES.length === index).map((model_id) => ({ model_id }))
    const config = { name, provider, api_key, base_url: `${far}/${name}/v1`, models: served }
    ids.push((await must(broker.admin('POST', '/api/models/configs', config))).id)
  }
  const keyOver = async (name: Way, model_config_ids: string[]) => {
    const { key } = await must(broker.admin('POST', '/api/keys', { name, model_config_ids }))
    return { origin: broker.origin, key: key as string }
  }
  return {
    'one config': await keyOver('one config', ids.slice(0, 1)),
    'three configs': await keyOver('three configs', ids),
  }
}
