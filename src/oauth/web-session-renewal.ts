/**
 * Renews a web session (Open WebUI style): `GET …/auths/` with the present token answers `{id, token, expires_at}`.
 *
 * Plain Open WebUI answers with the very same token, so only a token or expiry that really moved counts. Asking
 * spends nothing: unlike a refresh token it may be asked again, three times with growing pauses (docs/conformance.md).
 */
import { setTimeout } from 'node:timers/promises'
import type { Dispatcher } from 'undici'
import { HOUR, SECOND } from '../base/clock.ts'
import type { Provider } from '../provider/provider.ts'
import { type JsonObject, numberOf } from './answer-body.ts'
import { MAX_LIFETIME_MS, readJwt } from './jwt.ts'
import type { Renewal } from './refresh-token-grant.ts'
import { ask } from './request.ts'
import { isToken, normalizeTokenType, type TokenSet } from './token-response.ts'
import { exchange, type WireAnswer } from './wire.ts'

const TRIES = 3
const PAUSE_MS = 2 * SECOND
/** Three tries and their pauses must fit into a lease of 30 s. */
const TRY_TIMEOUT_MS = 5 * SECOND
/** A server that wants to be left alone for longer is left alone: the next attempt comes when it said. */
const MAX_PAUSE_MS = 5 * SECOND
/** However long it says: there are days left. */
const MAX_RETRY_AFTER_MS = HOUR

/** What a person hears of a session that its server does not extend. */
export const UNMOVED =
  'the server answered with the same token and the same expiry: it does not extend sessions this way'

/** Of one that was asked for early: it may well be extended once it is due. */
export const NOT_DUE_YET = 'the server knows the session, and may extend it once it is due'

/** @param expiresAt of the present token, epoch ms */
export async function renewWebSession(
  provider: Provider,
  token: string,
  expiresAt: number | undefined,
  clock: () => number,
  dispatcher: Dispatcher,
): Promise<Renewal> {
  let renewal: Renewal = { kind: 'not_processed', why: 'not tried', retryAfterMs: undefined }
  for (let attempt = 1; attempt <= TRIES; attempt += 1) {
    renewal = judge(await askOnce(provider, token, dispatcher), provider, { token, expiresAt }, clock())
    if (renewal.kind !== 'not_processed' || attempt === TRIES) return renewal
    const pause = Math.max(PAUSE_MS * attempt, renewal.retryAfterMs ?? 0)
    if (pause > MAX_PAUSE_MS) return renewal
    await setTimeout(pause)
  }
  return renewal
}

function askOnce(provider: Provider, token: string, by: Dispatcher): Promise<WireAnswer> {
  const headers = {
    authorization: `Bearer ${token}`,
    accept: 'application/json',
    'content-type': 'application/json',
  }
  return exchange(
    by,
    TRY_TIMEOUT_MS,
    (signal, dispatcher) => ask(dispatcher, provider.webSession?.refreshEndpoint ?? '', { headers, signal }),
    [token],
  )
}

function judge(
  answer: WireAnswer,
  provider: Provider,
  present: { token: string; expiresAt: number | undefined },
  now: number,
): Renewal {
  if (answer.kind !== 'answer') {
    return { kind: 'not_processed', why: answer.why, retryAfterMs: undefined, isServerAway: true }
  }
  const { status, body, retryAfterMs } = answer
  if (status === 401) return { kind: 'invalid_grant', why: 'status 401: the session is over' }
  const tokens = status >= 200 && status < 300 ? parseWebSession(body, now) : undefined
  if (!tokens) {
    const bounded = retryAfterMs === undefined ? undefined : Math.min(retryAfterMs, MAX_RETRY_AFTER_MS)
    return { kind: 'not_processed', why: `status ${status}, no session`, retryAfterMs: bounded }
  }
  if (tokens.accessToken === present.token && (tokens.expiresAt ?? 0) <= (present.expiresAt ?? 0)) {
    const { refreshBeforeMs = 0, checkEveryMs = 0 } = provider.webSession ?? {}
    const isEnding = present.expiresAt === undefined || now > present.expiresAt - refreshBeforeMs
    return { kind: 'unmoved', why: isEnding ? UNMOVED : NOT_DUE_YET, retryAfterMs: checkEveryMs, isEnding }
  }
  return { kind: 'tokens', tokens }
}

/** A 200 may also carry `success: false`: only an answer that names its user counts. */
function parseWebSession(body: JsonObject | undefined, now: number): TokenSet | undefined {
  if (!body || typeof body['id'] !== 'string' || !isToken(body['token'])) return undefined
  const expiresAt = Math.trunc((numberOf(body['expires_at']) ?? 0) * 1000)
  const isSane = expiresAt > 0 && expiresAt < now + MAX_LIFETIME_MS
  return webSessionTokens(body['token'], isSane ? expiresAt : undefined, now, body['token_type'])
}

/** A session token with what it says about itself. @param expiresAt epoch ms, where the server or the user says */
export function webSessionTokens(
  token: string,
  expiresAt: number | undefined,
  receivedAt: number | undefined,
  tokenType?: unknown,
): TokenSet {
  const claims = readJwt(token)
  return {
    accessToken: token,
    refreshToken: undefined,
    tokenType: normalizeTokenType(tokenType),
    scope: undefined,
    expiresAt: expiresAt ?? claims?.expiresAt,
    receivedAt: receivedAt ?? claims?.issuedAt,
    metadata: { user_id: claims?.userId ?? null, issued_at: claims?.issuedAt ?? null },
  }
}
