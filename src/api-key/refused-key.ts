/**
 * Why a key is not one of ours, said so that whoever sent it finds the right one.
 */
import { BrokerError } from '../base/errors.ts'

/** How the keys and tokens of the usual providers begin. */
const OF_A_PROVIDER = /^(?:sk-|eyJ|hf_|gsk_|xai-|AIza|r8_|pplx-|nvapi-|key-)/

/** @param presented what no key can look like; undefined: nothing */
export function notAKey(presented: string | undefined): BrokerError {
  return new BrokerError('invalid_api_key', { reason: reasonOf(presented) })
}

export function unknownKey(): BrokerError {
  const reason = 'the one sent is not known here; it is of another broker, or was mistyped'
  return new BrokerError('invalid_api_key', { reason })
}

export function deletedKey(): BrokerError {
  return new BrokerError('invalid_api_key', { reason: 'the one sent was deleted' })
}

export function expiredKey(): BrokerError {
  return new BrokerError('invalid_api_key', { reason: 'the one sent has expired' })
}

export function replacedKey(): BrokerError {
  const reason = 'the one sent was rotated, and works no longer; send the one that took its place'
  return new BrokerError('invalid_api_key', { reason })
}

function reasonOf(presented: string | undefined): string {
  if (presented === undefined) return 'none was found in Authorization, x-api-key or api-key'
  if (presented.startsWith('sk-tb-'))
    return 'the one sent is cut off or has been changed; a key has 49 characters'
  if (OF_A_PROVIDER.test(presented)) {
    return "what was sent looks like a provider's own key or token; connect it here as an account, and send the key made for it"
  }
  return 'what was sent is none, for they begin with sk-tb-'
}
