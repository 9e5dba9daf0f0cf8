/**
 * The account that a call belongs to by the ids it names: no other knows them, so there is no next one to ask.
 */
import { BrokerError } from '../base/errors.ts'
import type { ConfigIndex, ModelConfig } from '../model-config/config-index.ts'
import type { ClientCall } from './client-call.ts'
import { restAfterFailure } from './failover.ts'
import type { Homes } from './homes.ts'

/** Whether a key has more than one place for what it makes. Practising is no place. */
export function hasSeveral({ all }: ConfigIndex): boolean {
  if (all.length < 2) return false
  let count = 0
  for (const { isSandbox } of all) {
    if (!isSandbox) count += 1
    if (count === 2) return true
  }
  return false
}

/**
 * Undefined if nothing that is named was made through this key, or by none of its accounts of today.
 * @throws BrokerError malformed_request | config_unavailable | storage_unavailable
 */
export async function homeOf(
  { key }: Pick<ClientCall, 'key'>,
  ids: readonly string[],
  scope: ConfigIndex,
  homes: Pick<Homes, 'find'>,
): Promise<ModelConfig | undefined> {
  const [home, other] = (await homes.find(key.id, ids)).flatMap((id) => scope.get(id) ?? [])
  if (home && other) {
    const [first, second] = [home.name.slice(0, MAX_SHOWN), other.name.slice(0, MAX_SHOWN)]
    throw new BrokerError('malformed_request', {
      reason: {
        english: `it names what two accounts made, "${first}" and "${second}", of which neither knows the other's`,
        chinese: `请求同时引用了账号“${first}”和“${second}”创建的资源，二者互不可见`,
      },
    })
  }
  if (home && !home.isActive)
    throw unavailable(home, { english: 'it is switched off', chinese: '账号已停用' })
  return home
}

/** What went wrong with the only account that can answer: what would have been a reason to ask the next one is 503. */
export function onlyAt(home: ModelConfig | undefined, error: unknown): unknown {
  if (!home || !(error instanceof BrokerError) || !restAfterFailure(error)) return error
  const { english, chinese, retryAfterSeconds, detail } = error
  return unavailable(home, { english, chinese }, { retryAfterSeconds, detail, cause: error })
}

const MAX_SHOWN = 100

function unavailable(
  { name }: ModelConfig,
  why: { readonly english: string; readonly chinese: string },
  more: { retryAfterSeconds?: number | undefined; detail?: string | undefined; cause?: unknown } = {},
): BrokerError {
  const shown = name.slice(0, MAX_SHOWN)
  const { retryAfterSeconds, detail, cause } = more
  return new BrokerError('config_unavailable', {
    reason: { english: `"${shown}": ${why.english}`, chinese: `“${shown}”：${why.chinese}` },
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    ...(detail !== undefined && { detail }),
    cause,
  })
}
