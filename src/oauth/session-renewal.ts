/**
 * Renews a web session (Open WebUI style): `GET …/auths/` with the present token answers `{id, token, expires_at}`.
 *
 * Plain Open WebUI answers with the very same token, so only a token or expiry that really moved counts. Asking
 * spends nothing: unlike a refresh token it may be asked again, three times with growing pauses (seed 001).
 */
import { setTimeout } from 'node:timers/promises'
import { fetch } from 'undici'
import { SECOND } from '../base/clock.ts'
import type { Provider } from '../base/provider.ts'
import type { Renewal } from './refresh-token-grant.ts'
import { readSessionToken } from './session-token.ts'
import { isToken, normalizeTokenType, type TokenSet } from './token-response.ts'
import { exchange, type JsonObject, type WireAnswer } from './wire.ts'

const TRIES = 3
const PAUSE_MS = 2 * SECOND
/** Three tries and their pauses must fit into a lease of 30 s. */
const TRY_TIMEOUT_MS = 5 * SECOND

/** @param expiresAt of the present token, epoch ms */
export async function renewSession(
  provider: Provider,
  token: string,
  expiresAt: number | undefined,
  clock: () => number,
): Promise<Renewal> {
  let renewal: Renewal = { kind: 'not_processed', why: 'not tried', retryAfterMs: undefined }
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    if (attempt > 0) await setTimeout(PAUSE_MS * attempt)
    renewal = judge(await ask(provider, token), provider, { token, expiresAt }, clock())
    if (renewal.kind !== 'not_processed') return renewal
  }
  return renewal
}

function ask(provider: Provider, token: string): Promise<WireAnswer> {
  const headers = {
    authorization: `Bearer ${token}`,
    accept: 'application/json',
    'content-type': 'application/json',
  }
  return exchange(TRY_TIMEOUT_MS, (signal, dispatcher) =>
    fetch(provider.session?.refreshEndpoint ?? '', { headers, signal, dispatcher, redirect: 'manual' }),
  )
}

function judge(
  answer: WireAnswer,
  provider: Provider,
  present: { token: string; expiresAt: number | undefined },
  now: number,
): Renewal {
  if (answer.kind !== 'answer') return { kind: 'not_processed', why: answer.why, retryAfterMs: undefined }
  if (answer.status === 401) return { kind: 'invalid_grant', why: 'status 401: the session is over' }
  const tokens = answer.status === 200 ? parseSession(answer.body, now) : undefined
  if (!tokens)
    return { kind: 'not_processed', why: `status ${answer.status}, no session`, retryAfterMs: undefined }
  if (tokens.accessToken === present.token && (tokens.expiresAt ?? 0) <= (present.expiresAt ?? 0)) {
    return {
      kind: 'unmoved',
      why: 'the server answered with the same token and the same expiry: it does not extend sessions this way',
      retryAfterMs: provider.session?.checkEveryMs ?? 0,
    }
  }
  return { kind: 'tokens', tokens }
}

/** A 200 may also carry `success: false`: only an answer that names its user counts. */
function parseSession(body: JsonObject | undefined, now: number): TokenSet | undefined {
  if (!body || typeof body['id'] !== 'string' || !isToken(body['token'])) return undefined
  const seconds = body['expires_at']
  const expiresAt = typeof seconds === 'number' && Number.isFinite(seconds) ? seconds * 1000 : undefined
  return sessionTokens(body['token'], expiresAt, now, body['token_type'])
}

/** A session token with what it says about itself. @param expiresAt epoch ms, where the server or the user says */
export function sessionTokens(
  token: string,
  expiresAt: number | undefined,
  receivedAt: number | undefined,
  tokenType?: unknown,
): TokenSet {
  const claims = readSessionToken(token)
  return {
    accessToken: token,
    refreshToken: undefined,
    tokenType: normalizeTokenType(tokenType),
    scope: undefined,
    expiresAt: expiresAt ?? claims?.expiresAt,
    receivedAt: receivedAt === undefined ? claims?.issuedAt : Math.trunc(receivedAt),
    metadata: { user_id: claims?.userId ?? null, issued_at: claims?.issuedAt ?? null },
  }
}
