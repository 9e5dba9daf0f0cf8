/**
 * What each kind of credential cannot do without in its provider file, and what is of no use to it.
 */
import type { AuthorizationServerFile } from './authorization-server-file.ts'
import type { ProviderFile } from './provider-file.ts'
import { ProviderMistake } from './provider-mistake.ts'
import { isLogin } from './renewal-class.ts'

const PATH = ['authorization_server']
const TRADES: ReadonlySet<ProviderFile['credential']> = new Set(['token_exchange', 'jwt_bearer'])

/** @throws ProviderMistake */
export function checkNeeds(file: ProviderFile): void {
  const { credential, authorization_server: server, session, subject_token: subject } = file
  const trades = TRADES.has(credential)
  const isRequest = credential === 'token_request'
  if (isRequest && !file.token_request)
    throw new ProviderMistake([], 'credential token_request needs token_request')
  if (file.token_request && !isRequest && !isLogin(credential))
    throw new ProviderMistake(['token_request'], `is of no use to credential ${credential}`)
  if (trades && subject === undefined)
    throw new ProviderMistake([], `credential ${credential} needs subject_token`)
  const signs = credential === 'signed_jwt'
  if (signs !== (file.signed_jwt !== undefined))
    throw new ProviderMistake([], 'credential signed_jwt and signed_jwt belong together')
  if (!trades && !isRequest && subject !== undefined)
    throw new ProviderMistake(['subject_token'], `is of no use to credential ${credential}`)
  if (credential === 'session' && !session) {
    throw new ProviderMistake([], 'credential session needs session.refresh_endpoint')
  }
  if ((credential === 'aws_sigv4') !== (file.aws_sigv4 !== undefined))
    throw new ProviderMistake([], 'credential aws_sigv4 and the block aws_sigv4 go together')
  if (credential === 'aws_sigv4' && file.upstream.auth)
    throw new ProviderMistake(['upstream', 'auth'], 'is for tokens; these calls are signed')
  if (
    credential === 'session' ||
    credential === 'api_key' ||
    isRequest ||
    signs ||
    credential === 'aws_sigv4'
  )
    return
  if (!server) throw new ProviderMistake([], `credential ${credential} needs authorization_server`)
  checkServer(credential, server)
  if (server.client_authentication === 'tls' && !file.tls?.certificate_file)
    throw new ProviderMistake([...PATH, 'client_authentication'], 'tls needs tls.certificate_file')
}

function checkServer(credential: ProviderFile['credential'], server: AuthorizationServerFile): void {
  if (!server.issuer && !server.token_endpoint) {
    throw new ProviderMistake(PATH, 'needs token_endpoint, or issuer for discovery')
  }
  if (credential === 'device_code' && !server.issuer && !server.device_authorization_endpoint) {
    throw new ProviderMistake(PATH, 'needs device_authorization_endpoint, or issuer for discovery')
  }
  checkCodeLogin(credential, server)
  const provesItself =
    server.client_secret ||
    server.private_key ||
    server.client_assertion ||
    server.client_authentication === 'tls'
  if (credential === 'client_credentials' && !provesItself) {
    throw new ProviderMistake(
      PATH,
      'client_credentials needs client_secret, private_key, client_assertion or tls',
    )
  }
  if (!server.client_id && (!TRADES.has(credential) || provesItself)) {
    throw new ProviderMistake(PATH, 'needs client_id')
  }
  for (const [way, field] of NEEDED) {
    if (server.client_authentication === way && server[field] === undefined)
      throw new ProviderMistake([...PATH, 'client_authentication'], `${way} needs ${field}`)
  }
  if (server.body === 'json' && credential === 'device_code')
    throw new ProviderMistake([...PATH, 'body'], 'of a device login is a form')
  if (isLogin(credential)) checkSources(server)
}

/** A login's refresh token goes out within the time of one request. */
function checkSources(server: AuthorizationServerFile): void {
  for (const field of ['private_key', 'client_assertion', 'certificate'] as const) {
    const source = server[field]
    if (typeof source === 'object' && 'token_request' in source)
      throw new ProviderMistake([...PATH, field], 'of a login is asked of no other server')
  }
}

/** Of a browser's way to the server and back, which only a login by code takes. */
function checkCodeLogin(credential: ProviderFile['credential'], server: AuthorizationServerFile): void {
  if (credential !== 'authorization_code') {
    const useless = ONLY_OF_CODE_LOGINS.find((field) => server[field] !== undefined)
    if (useless) throw new ProviderMistake([...PATH, useless], `is of no use to credential ${credential}`)
    return
  }
  if (!server.issuer && !server.authorization_endpoint)
    throw new ProviderMistake(PATH, 'needs authorization_endpoint, or issuer for discovery')
  if (server.pkce === false)
    throw new ProviderMistake([...PATH, 'pkce'], 'is never left out of a login by authorization code')
  for (const field of ['params', 'authorization_params'] as const) {
    const own = Object.keys(server[field] ?? {}).find((name) => OWN_PARAMS.has(name))
    if (own) throw new ProviderMistake([...PATH, field, own], "is the broker's own to set")
  }
  const { callback = true, paste = true, loopback } = server.redirect ?? {}
  if (!callback && !paste)
    throw new ProviderMistake([...PATH, 'redirect'], 'needs callback or paste: an answer has to come back')
  if (!callback && !loopback?.port)
    throw new ProviderMistake(
      [...PATH, 'redirect'],
      'without callback needs loopback.port, as it is registered',
    )
}

const ONLY_OF_CODE_LOGINS = ['authorization_endpoint', 'authorization_params', 'redirect'] as const
const OWN_PARAMS = new Set([
  ...['response_type', 'response_mode', 'client_id', 'redirect_uri', 'scope', 'state'],
  ...['code_challenge', 'code_challenge_method', 'grant_type', 'code', 'code_verifier', 'client_secret'],
])

const NEEDED = [
  ['private_key_jwt', 'private_key'],
  ['client_assertion', 'client_assertion'],
] as const
