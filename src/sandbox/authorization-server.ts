/**
 * A strict authorization server: device grant with PKCE (RFC 8628, RFC 7636), refresh with rotation
 * and reuse detection (RFC 9700 §4.14.2), client credentials, revocation (RFC 7009).
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Counts } from './counts.ts'
import type { DeviceCodes } from './device-codes.ts'
import { isSame } from './digest.ts'
import type { Families, Issued } from './families.ts'
import { type FaultPoint, type Faults, injectFaults } from './faults.ts'
import { acceptForms, answerOAuthErrors, type Form, OAuthError, readForm, required } from './oauth-form.ts'
import type { StateFile } from './state-file.ts'

const CLIENT_SECRET = 'sandbox-secret'
const DEVICE_CODE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

export interface AuthorizationServerParts {
  readonly deviceCodes: DeviceCodes
  readonly families: Families
  readonly stateFile: StateFile
  readonly faults: Faults
  readonly counts: Counts
  readonly clientId: string
  readonly accessTokenSeconds: number
  readonly deviceCodeSeconds: number
  /** What the answer says; null leaves the field out. */
  readonly interval: number | null
  readonly resourceUrl: string | null
  readonly onSecret: ((name: string, value: string) => void) | undefined
  /** Known once the listener is open. */
  readonly origin: () => string
}

export function addAuthorizationServer(scope: FastifyInstance, parts: AuthorizationServerParts): void {
  acceptForms(scope)
  answerOAuthErrors(scope)
  scope.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })
  scope.addHook('preHandler', async (request) => countArrival(request, parts.counts))
  injectFaults(scope, parts.faults, faultPointOf)
  scope.post('/oauth/device/code', (request) => authorizeDevice(request, parts))
  scope.post('/oauth/token', (request) => grant(request, parts))
  scope.post('/oauth/revoke', (request) => revoke(request, parts))
}

/** RFC 8628 §3.1 and §3.2. */
async function authorizeDevice(request: FastifyRequest, parts: AuthorizationServerParts) {
  const form = readForm(request.body)
  authenticateClient(request, form, parts.clientId)
  if (required(form, 'code_challenge_method') !== 'S256') {
    throw new OAuthError('invalid_request', 'code_challenge_method must be S256')
  }
  const codeChallenge = required(form, 'code_challenge', /^[\w-]{43}$/)
  const { deviceCode, userCode } = parts.deviceCodes.start(scopeOf(form), codeChallenge)
  parts.onSecret?.('device code', deviceCode)
  await parts.stateFile.save()
  const verificationUri = `${parts.origin()}/device`
  return {
    device_code: deviceCode,
    user_code: userCode,
    verification_uri: verificationUri,
    verification_uri_complete: `${verificationUri}?user_code=${userCode}`,
    expires_in: parts.deviceCodeSeconds,
    ...(parts.interval === null ? {} : { interval: parts.interval }),
  }
}

async function grant(request: FastifyRequest, parts: AuthorizationServerParts) {
  const form = readForm(request.body)
  const client = authenticateClient(request, form, parts.clientId)
  const grantType = required(form, 'grant_type')
  switch (grantType) {
    case DEVICE_CODE_GRANT:
      return deviceCodeGrant(form, parts)
    case 'refresh_token':
      return refreshTokenGrant(form, parts)
    case 'client_credentials':
      if (!client.showedSecret) throw new OAuthError('invalid_client', 'this grant needs the client secret')
      return tokenAnswer(parts.families.startWithoutRefresh(scopeOf(form)), parts)
    default:
      throw new OAuthError('unsupported_grant_type', `${grantType} is not supported`)
  }
}

/** RFC 8628 §3.4 and §3.5. */
async function deviceCodeGrant(form: Form, parts: AuthorizationServerParts) {
  const deviceCode = required(form, 'device_code')
  const codeVerifier = required(form, 'code_verifier', /^[\w.~-]{43,128}$/)
  parts.onSecret?.('code verifier', codeVerifier)
  const outcome = parts.deviceCodes.poll(deviceCode, codeVerifier)
  if (typeof outcome === 'object') return tokenAnswer(parts.families.start(outcome.scope), parts)
  // The longer interval holds for good, also over a restart.
  if (outcome === 'slow_down') await parts.stateFile.save()
  throw new OAuthError(outcome, POLL_DESCRIPTIONS[outcome])
}

const POLL_DESCRIPTIONS = {
  invalid_grant: 'unknown or used device_code, or code_verifier does not match',
  expired_token: 'the device_code has expired',
  slow_down: 'polled too early; the interval is now 5 seconds longer',
  authorization_pending: 'nobody has decided yet',
  access_denied: 'the person denied the request',
}

/** RFC 6749 §6. */
async function refreshTokenGrant(form: Form, parts: AuthorizationServerParts) {
  const outcome = parts.families.rotate(required(form, 'refresh_token'), form.get('scope'))
  if (typeof outcome === 'object') {
    parts.counts.refreshGrants += 1
    return tokenAnswer(outcome, parts)
  }
  if (outcome === 'wrong_scope') throw new OAuthError('invalid_scope', 'scope is wider than what was granted')
  if (outcome === 'reused') {
    parts.counts.reusesDetected += 1
    await parts.stateFile.save()
  }
  throw new OAuthError('invalid_grant', `refresh_token is ${outcome}`)
}

/** RFC 6749 §5.1. */
async function tokenAnswer(issued: Issued, parts: AuthorizationServerParts) {
  parts.onSecret?.('access token', issued.accessToken)
  if (issued.refreshToken !== undefined) parts.onSecret?.('refresh token', issued.refreshToken)
  await parts.stateFile.save()
  return {
    access_token: issued.accessToken,
    token_type: 'Bearer',
    expires_in: parts.accessTokenSeconds,
    ...(issued.refreshToken === undefined ? {} : { refresh_token: issued.refreshToken }),
    scope: issued.scope,
    ...(parts.resourceUrl === null ? {} : { resource_url: parts.resourceUrl }),
  }
}

/** RFC 7009 §2. */
async function revoke(request: FastifyRequest, parts: AuthorizationServerParts) {
  const form = readForm(request.body)
  authenticateClient(request, form, parts.clientId)
  parts.families.revoke(required(form, 'token'))
  await parts.stateFile.save()
  return ''
}

/** The public client may name itself only; a secret it shows must be right (RFC 6749 §2.3.1). */
function authenticateClient(
  request: FastifyRequest,
  form: Form,
  clientId: string,
): { showedSecret: boolean } {
  const basic = basicCredentials(request.headers.authorization)
  if (basic && form.has('client_secret')) {
    throw new OAuthError('invalid_request', 'the client authenticates in two ways at once')
  }
  const id = basic?.id ?? required(form, 'client_id')
  const secret = basic?.secret ?? form.get('client_secret')
  if (id !== clientId || (form.get('client_id') ?? id) !== id) {
    throw new OAuthError('invalid_client', 'unknown client')
  }
  if (secret !== undefined && !isSame(secret, CLIENT_SECRET)) {
    throw new OAuthError('invalid_client', 'wrong client secret')
  }
  return { showedSecret: secret !== undefined }
}

/** Both halves are form-encoded before they are joined (RFC 6749 §2.3.1). */
function basicCredentials(header: string | undefined): { id: string; secret: string } | undefined {
  if (header === undefined) return undefined
  const encoded = /^Basic ([\w+/]+=*)$/i.exec(header)?.[1]
  const decoded = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded ?? '', 'base64').toString())
  if (!decoded) throw new OAuthError('invalid_client', 'the Authorization header is not Basic')
  const [id = '', secret = ''] = decoded
    .slice(1)
    .map((half) => new URLSearchParams(`half=${half.replaceAll('&', '%26')}`).get('half') ?? '')
  return { id, secret }
}

/** Without one the request fails, as RFC 6749 §3.3 allows: it shows a client that forgot its scope. */
function scopeOf(form: Form): string {
  const scope = form.get('scope')
  if (scope === undefined || !/^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/.test(scope)) {
    throw new OAuthError('invalid_scope', scope === undefined ? 'scope is missing' : 'scope is malformed')
  }
  return scope
}

function grantTypeOf(request: FastifyRequest): string | null {
  return request.body instanceof URLSearchParams ? request.body.get('grant_type') : null
}

function faultPointOf(request: FastifyRequest): FaultPoint | undefined {
  const path = request.routeOptions.url
  if (path === '/oauth/device/code') return 'device_code'
  if (path !== '/oauth/token') return undefined
  return grantTypeOf(request) === 'refresh_token' ? 'refresh' : 'token'
}

function countArrival(request: FastifyRequest, counts: Counts): void {
  const point = faultPointOf(request)
  if (point === 'device_code') counts.deviceCodeRequests += 1
  else if (point === 'refresh') counts.refreshRequests += 1
  else if (point === 'token' && grantTypeOf(request) === DEVICE_CODE_GRANT) counts.devicePolls += 1
}
