/**
 * RFC 8628 §3.1–3.2: asks for a device code, with a PKCE challenge (RFC 7636, S256).
 */
import { randomUUID } from 'node:crypto'
import {
  calculatePKCECodeChallenge,
  deviceAuthorizationRequest,
  generateRandomCodeVerifier,
} from 'oauth4webapi'
import { type JsonObject, numberOf } from './answer-body.ts'
import type { AuthorizationServer } from './authorization-server.ts'
import { errorCode, errorDescription } from './dialect.ts'
import { isToken } from './token-response.ts'

export interface DeviceAuthorization {
  readonly deviceCode: string
  /** Opaque: real ones look like LQPZC-BI, QJ2_5BFO or BF0Q6UX9. */
  readonly userCode: string
  readonly verificationUri: string
  readonly verificationUriComplete: string
  readonly expiresInSeconds: number
  /** Whole seconds, at least one. */
  readonly intervalSeconds: number
  /** 43 characters, or undefined where the provider does without PKCE. */
  readonly codeVerifier: string | undefined
}

/** RFC 8628 §3.2: "If no value is provided, clients MUST use 5". */
const DEFAULT_INTERVAL_SECONDS = 5
const MAX_INTERVAL_SECONDS = 120
/** §3.2 requires `expires_in`; where a server leaves it out, nobody approves later than this anyway. */
const DEFAULT_EXPIRES_IN_SECONDS = 900
const MAX_TEXT = 2_048

/** @returns the authorization, or why there is none (for the log: no secrets) */
export async function requestDeviceAuthorization(
  server: AuthorizationServer,
): Promise<DeviceAuthorization | { failure: string }> {
  const config = server.provider.authorizationServer
  const codeVerifier = config?.pkce ? generateRandomCodeVerifier() : undefined
  const parameters = new URLSearchParams(config?.params)
  if (config?.scope) parameters.set('scope', config.scope)
  if (codeVerifier) {
    parameters.set('code_challenge', await calculatePKCECodeChallenge(codeVerifier))
    parameters.set('code_challenge_method', 'S256')
  }
  const answer = await server.exchange(
    (to, options) =>
      deviceAuthorizationRequest(to.metadata, to.client, to.clientAuthentication, parameters, options),
    { 'x-request-id': randomUUID() },
  )
  if (answer.kind !== 'answer') return { failure: answer.why }
  const code = errorCode(answer)
  if (code) return { failure: `${code} at ${answer.status} ${errorDescription(answer) ?? ''}`.trim() }
  const isGood = answer.status >= 200 && answer.status < 300
  if (!isGood || !answer.body) return { failure: `status ${answer.status}, no JSON object` }
  return parse(answer.body, codeVerifier) ?? { failure: 'an answer without the fields of RFC 8628 §3.2' }
}

function parse(body: JsonObject, codeVerifier: string | undefined): DeviceAuthorization | undefined {
  const { device_code, verification_uri_complete, expires_in, interval } = body
  const userCode = typeof body['user_code'] === 'number' ? String(body['user_code']) : body['user_code']
  const verificationUri = body['verification_uri'] ?? body['verification_url'] // Google's name for it
  if (!isToken(device_code) || !isText(userCode) || !isWebAddress(verificationUri)) return undefined
  const complete = new URL(verificationUri)
  complete.searchParams.set('user_code', userCode)
  const expiresIn = numberOf(expires_in) ?? 0
  const seconds = Math.ceil(numberOf(interval) ?? DEFAULT_INTERVAL_SECONDS)
  return {
    deviceCode: device_code,
    userCode,
    verificationUri,
    verificationUriComplete: isWebAddress(verification_uri_complete)
      ? verification_uri_complete
      : complete.href,
    expiresInSeconds: expiresIn > 0 ? expiresIn : DEFAULT_EXPIRES_IN_SECONDS,
    intervalSeconds: Math.min(Math.max(seconds, 1), MAX_INTERVAL_SECONDS),
    codeVerifier,
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_TEXT
}

/** It becomes a link on a page: nothing but http and https, and no host that another name stands in front of. */
function isWebAddress(value: unknown): value is string {
  if (!isText(value) || !/^https?:\/\//i.test(value) || !URL.canParse(value)) return false
  const { username, password } = new URL(value)
  return username === '' && password === ''
}
