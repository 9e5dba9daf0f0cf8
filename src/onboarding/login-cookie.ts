/**
 * What ties a login by authorization code to the browser that began it: nobody can have another person's browser end a
 * login of his own, or end one that another person was talked into.
 *
 * It holds the login's `state`, under a name of its own, so that one browser can have several under way.
 */
import { isSame } from '../base/secret.ts'
import type { DeviceSession } from './device-session.ts'

type Session = Pick<DeviceSession, 'codeHash' | 'redirectUri' | 'createdAt' | 'expiresAt'>

/** `Set-Cookie`. Lax: the browser comes from the server's pages. */
export function loginCookie(session: Session, state: string): string {
  return cookieOf(session, state, Math.ceil((session.expiresAt - session.createdAt) / 1000))
}

/** What takes it back. */
export function endedLoginCookie(session: Session): string {
  return cookieOf(session, '', 0)
}

/** @param header `Cookie` */
export function hasLoginCookie(session: Session, state: string, header: string | undefined): boolean {
  const begin = `${nameOf(session)}=`
  const found = header?.split(';').find((part) => part.trimStart().startsWith(begin))
  return found !== undefined && isSame(found.trim().slice(begin.length), state)
}

function cookieOf(session: Session, value: string, seconds: number): string {
  const secure = isSecure(session) ? '; Secure' : ''
  return `${nameOf(session)}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`
}

/** With the prefix no neighbouring host can set it (RFC 6265bis §4.1.3.2), but browsers take that over https only. */
function nameOf(session: Session): string {
  return `${isSecure(session) ? '__Host-' : ''}token_broker_login_${session.codeHash.slice(0, 12)}`
}

function isSecure({ redirectUri = '' }: Session): boolean {
  return redirectUri.startsWith('https:')
}
