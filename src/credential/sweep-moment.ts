/**
 * When the sweeper renews a credential: a little ahead of the inline path, each at its own moment, so that a thousand
 * of them do not come due at once.
 */
import type { Provider } from '../provider/provider.ts'
import { type Credential, type Lifetime, leadTimeMs, maxLeadTimeMs } from './credential.ts'

/** How much earlier than the inline path, at most. */
const MAX_AHEAD = 1.2

/** Tokens of this provider that end later (epoch ms) are nobody's turn now. */
export function soonDueUntil(provider: Provider, now: number): number {
  return Math.trunc(now + maxLeadTimeMs(provider) * MAX_AHEAD)
}

/** Between 0 and 20 % ahead of the inline path, always the same for one credential. */
export function isSweepDue(credential: Lifetime & Pick<Credential, 'configId'>, now: number): boolean {
  const { expiresAt } = credential.tokens
  if (expiresAt === undefined) return false
  const share = Number.parseInt(credential.configId.slice(0, 4), 16) / 0xffff || 0
  return now > expiresAt - leadTimeMs(credential) * (1 + share * (MAX_AHEAD - 1))
}
