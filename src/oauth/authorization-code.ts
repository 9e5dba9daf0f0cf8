/**
 * A login by authorization code (RFC 6749 §4.1) with PKCE (RFC 7636, S256): where a browser is sent, and what becomes of
 * the answer that it brings back.
 */
import { randomBytes } from 'node:crypto'
import {
  AuthorizationResponseError,
  authorizationCodeGrantRequest,
  type Client,
  calculatePKCECodeChallenge,
  generateRandomCodeVerifier,
  OperationProcessingError,
  type AuthorizationServer as ServerMetadata,
  skipStateCheck,
  UnsupportedOperationError,
  validateAuthResponse,
} from 'oauth4webapi'
import { sha256 } from '../base/digest.ts'
import type { AuthorizationServer } from './authorization-server.ts'
import { errorCode, errorDescription } from './dialect.ts'
import { parseTokenResponse, type TokenSet, tokenProblem } from './token-response.ts'
import type { WireAnswer } from './wire.ts'

export interface AuthorizationRequest {
  /** For a browser. */
  readonly url: string
  /** 256 bits that come back with the answer. */
  readonly state: string
  readonly codeVerifier: string
}

export type CodeOutcome =
  | { kind: 'tokens'; tokens: TokenSet }
  | { kind: 'denied' }
  /** Whoever answered is not the server that the login was begun at (RFC 9207). */
  | { kind: 'foreign' }
  | { kind: 'refused'; code: string }
  /** The code may be spent: nobody knows, and it is never sent again. */
  | { kind: 'unclear'; why: string }

/** A registered address of the terminal's machine (RFC 8252 §7.3). */
export function loopbackAddress({ host, port, path }: { host: string; port: number; path: string }): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}${path}`
}

/** @returns the request, or why there is none (for the log: no secrets) */
export async function requestAuthorization(
  server: AuthorizationServer,
  redirectUri: string,
): Promise<AuthorizationRequest | { failure: string }> {
  const config = server.provider.authorizationServer
  let endpoint: string | undefined
  try {
    endpoint = (await server.endpoint()).metadata.authorization_endpoint
  } catch (error) {
    return { failure: (error as Error).message }
  }
  if (endpoint === undefined) return { failure: 'the discovery document names no authorization_endpoint' }
  const state = randomBytes(32).toString('base64url')
  const codeVerifier = generateRandomCodeVerifier()
  const url = new URL(endpoint)
  const parameters = [
    ['response_type', 'code'],
    ['client_id', config?.clientId ?? ''],
    ['redirect_uri', redirectUri],
    ...(config?.scope ? [['scope', config.scope]] : []),
    ['state', state],
    ['code_challenge', await calculatePKCECodeChallenge(codeVerifier)],
    ['code_challenge_method', 'S256'],
    ...(config?.params ?? []),
    ...(config?.authorizationParams ?? []),
  ] as const
  for (const [name = '', value = ''] of parameters) url.searchParams.append(name, value)
  return { url: url.href, state, codeVerifier }
}

/**
 * The query of an address that a browser ended at, if it is where this login was to end.
 *
 * @param address as a person copies it, or a browser asked for it
 */
export function answerIn(
  address: string,
  { redirectUri, stateHash }: { redirectUri: string; stateHash: string },
): URLSearchParams | undefined {
  const text = address.trim()
  if (!URL.canParse(text)) return undefined
  const [came, due] = [new URL(text), new URL(redirectUri)]
  const isSamePlace = came.origin === due.origin && came.pathname === due.pathname
  const [state = '', ...more] = came.searchParams.getAll('state')
  return isSamePlace && more.length === 0 && sha256(state) === stateHash ? came.searchParams : undefined
}

/**
 * Judges what a browser brought back and, if there is a code in it, sends that to the server, once.
 *
 * @param answer the query of the address that the browser came to; its `state` was looked at before
 */
export async function redeemCode(
  server: AuthorizationServer,
  answer: URLSearchParams,
  { redirectUri, codeVerifier }: { redirectUri: string; codeVerifier: string },
  clock: () => number,
): Promise<CodeOutcome> {
  const known = await server.endpoint().catch((error: Error) => ({ failure: error.message }))
  if ('failure' in known) return { kind: 'unclear', why: known.failure }
  const issuer = server.provider.authorizationServer?.issuer
  const judged = judgeAnswer(answer, known, issuer)
  if (!(judged instanceof URLSearchParams)) return judged
  const additionalParameters = new URLSearchParams(server.provider.authorizationServer?.params)
  const said = await server.exchange(({ metadata, client, clientAuthentication }, options) =>
    authorizationCodeGrantRequest(metadata, client, clientAuthentication, judged, redirectUri, codeVerifier, {
      ...options,
      additionalParameters,
    }),
  )
  return judgeTokens(said, clock(), server.provider.authorizationServer?.lifetimeMs)
}

/** The answer as the library takes it, or how the login ends. @param issuer undefined: the file names none to compare with */
function judgeAnswer(
  answer: URLSearchParams,
  { metadata, client }: { metadata: ServerMetadata; client: Client },
  issuer: string | undefined,
): URLSearchParams | CodeOutcome {
  const sent = new URLSearchParams(answer)
  if (issuer === undefined) sent.delete('iss')
  const isSent = sent.has('iss') || metadata.authorization_response_iss_parameter_supported === true
  if (isSent && sent.getAll('iss').join() !== issuer) return { kind: 'foreign' }
  try {
    const judged = validateAuthResponse(metadata, client, sent, skipStateCheck)
    return judged.get('code') && judged.getAll('code').length === 1 ? judged : INVALID
  } catch (error) {
    if (error instanceof AuthorizationResponseError) return refusalOf(error.error)
    if (error instanceof OperationProcessingError || error instanceof UnsupportedOperationError)
      return INVALID
    throw error
  }
}

const INVALID: CodeOutcome = { kind: 'refused', code: 'invalid_response' }
const UNKNOWN = 'unknown_error'
/** RFC 6749 §4.1.2.1, RFC 8707 §2, OpenID Connect Core §3.1.2.6. Whoever knows `state` can send another word. */
const KNOWN_WORDS: ReadonlySet<string> = new Set([
  ...[
    'invalid_request',
    'unauthorized_client',
    'unsupported_response_type',
    'invalid_scope',
    'invalid_target',
  ],
  ...[
    'server_error',
    'temporarily_unavailable',
    'interaction_required',
    'login_required',
    'consent_required',
  ],
  'account_selection_required',
])

function refusalOf(word: string): CodeOutcome {
  if (word === 'access_denied') return { kind: 'denied' }
  return { kind: 'refused', code: KNOWN_WORDS.has(word) ? word : UNKNOWN }
}

/** @param receivedAt epoch ms. @param unspokenMs of an access token whose answer says no lifetime */
function judgeTokens(answer: WireAnswer, receivedAt: number, unspokenMs: number | undefined): CodeOutcome {
  if (answer.kind !== 'answer') return { kind: 'unclear', why: answer.why }
  const { status, body } = answer
  const code = errorCode(answer)
  const isGood = status >= 200 && status < 300 && !code
  const tokens = isGood ? parseTokenResponse(body, receivedAt, unspokenMs) : undefined
  if (tokens) return { kind: 'tokens', tokens }
  if (code === 'access_denied') return { kind: 'denied' }
  if (code && status < 500 && status !== 429)
    return { kind: 'refused', code: /^[a-z_]{1,64}$/.test(code) ? code : UNKNOWN }
  const why = code
    ? `${code} ${errorDescription(answer) ?? ''}`
    : (body && isGood && tokenProblem(body)) || 'no token answer'
  return { kind: 'unclear', why: `status ${status}, ${why}` }
}
