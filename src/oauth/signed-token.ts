/**
 * A token that nobody is asked for: the broker signs it itself.
 */
import type { SignedJwt } from '../provider/signed-jwt-config.ts'
import { notProcessed, type Renewal } from './refresh-token-grant.ts'
import { signJwt } from './signed-jwt.ts'
import { SourceTrouble } from './simple-sources.ts'

/** @param now epoch ms */
export async function signedToken(config: SignedJwt, now: number): Promise<Renewal> {
  try {
    const { jwt: accessToken, expiresAt } = await signJwt(config, now)
    const nothing = { refreshToken: undefined, scope: undefined, metadata: {} }
    return {
      kind: 'tokens',
      tokens: { accessToken, tokenType: 'Bearer', expiresAt, receivedAt: now, ...nothing },
    }
  } catch (error) {
    if (!(error instanceof SourceTrouble)) throw error
    const { message: why, isLasting } = error
    return isLasting ? { kind: 'refused', why } : notProcessed(why, undefined, false)
  }
}
