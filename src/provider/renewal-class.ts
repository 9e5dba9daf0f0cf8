/**
 * What it costs to ask for the tokens of a kind of credential a second time, which decides how it is renewed
 * (docs/refresh-machine.md).
 */
import type { CredentialKind, Provider } from './provider.ts'

/**
 * `login`: a person; its refresh token is spent with the first answer. `shared`: nothing, so one replica asks for all,
 * and asks again whenever that is in doubt. `local`: nothing either, and each process asks for itself. `static`: there is
 * nobody to ask.
 */
export type RenewalClass = 'login' | 'shared' | 'local' | 'static'

const CLASSES = {
  device_code: 'login',
  authorization_code: 'login',
  client_credentials: 'shared',
  token_exchange: 'shared',
  jwt_bearer: 'shared',
  token_request: 'shared',
  session: 'shared',
  api_key: 'static',
  aws_sigv4: 'local',
  signed_jwt: 'local',
} as const satisfies Record<CredentialKind, RenewalClass>

/** What decides it. */
export type Renewed = Pick<Provider, 'kind'> & { readonly refresh: Pick<Provider['refresh'], 'isShared'> }

export function renewalClass({ kind, refresh }: Renewed): RenewalClass {
  return isFetched(kind) && !refresh.isShared ? 'local' : CLASSES[kind]
}

/** Its tokens stand in its row, and are renewed there. */
export function isStored(provider: Renewed): boolean {
  const found = renewalClass(provider)
  return found === 'login' || found === 'shared'
}

/** Nothing but its config is needed to ask for its tokens: whoever has no token yet gets one when it is first needed. */
export function isFetched(kind: CredentialKind): boolean {
  return CLASSES[kind] === 'shared' && kind !== 'session'
}

/** A person logs in, and what that brings is renewed with a refresh token. */
export function isLogin(kind: CredentialKind): boolean {
  return CLASSES[kind] === 'login'
}

/** Its answers must outlive the process that read them: the server may have ended the old token with the new one. */
export function isJournalled(kind: CredentialKind): boolean {
  return isLogin(kind) || kind === 'session'
}
