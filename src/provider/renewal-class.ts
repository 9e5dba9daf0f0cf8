/**
 * What it costs to ask for the tokens of a kind of credential a second time, which decides how it is renewed
 * (docs/refresh-machine.md).
 */
import type { CredentialKind } from './provider.ts'

/**
 * `login`: a person; its refresh token is spent with the first answer. `shared`: nothing, so one replica asks for all,
 * and asks again whenever that is in doubt. `local`: nothing either, and each process asks for itself. `static`: there is
 * nobody to ask.
 */
export type RenewalClass = 'login' | 'shared' | 'local' | 'static'

const CLASSES = {
  device_code: 'login',
  client_credentials: 'shared',
  token_exchange: 'shared',
  jwt_bearer: 'shared',
  session: 'shared',
  api_key: 'static',
  aws_sigv4: 'local',
} as const satisfies Record<CredentialKind, RenewalClass>

export function renewalClass(kind: CredentialKind): RenewalClass {
  return CLASSES[kind]
}

/** Its tokens stand in its row, and are renewed there. */
export function isStored(kind: CredentialKind): boolean {
  return CLASSES[kind] === 'login' || CLASSES[kind] === 'shared'
}

/** Nothing but its config is needed to ask for its tokens: whoever has no token yet gets one when it is first needed. */
export function isFetched(kind: CredentialKind): boolean {
  return CLASSES[kind] === 'shared' && kind !== 'session'
}

/** Its answers must outlive the process that read them: the server may have ended the old token with the new one. */
export function isJournalled(kind: CredentialKind): boolean {
  return CLASSES[kind] === 'login' || kind === 'session'
}
