/**
 * Listens in between a broker and the authorization server: which refresh tokens were sent, and which are newest.
 *
 * The newest is known even if the broker died before its answer came, for the server's side is read to its end.
 */
import { fingerprint } from '../../src/credential/credential.ts'
import type { Link, TcpProxy } from './tcp-proxy.ts'

/** One refresh request. */
export interface Grant {
  /** From `performance.now()`. */
  readonly sentAt: number
  readonly sent: string
  /** The successor in the server's answer, once that passed here. */
  issued: string | undefined
  readonly link: Link
}

/** Sandbox refresh tokens name their family in the first half. */
const FAMILY_CHARACTERS = 32
/** The newest refresh token of each family, over all brokers of this run. */
const newest = new Map<string, string>()

export class Grants {
  readonly proxy: TcpProxy
  readonly sent: Grant[] = []
  /** Called with each refresh request before the server sees it, and with each answer before the broker does. */
  onRequest: ((grant: Grant) => unknown) | undefined
  onAnswer: ((grant: Grant) => unknown) | undefined
  readonly #texts = new WeakMap<Link, string>()
  readonly #grants = new WeakMap<Link, Grant>()

  constructor(proxy: TcpProxy) {
    this.proxy = proxy
    proxy.tap = {
      toServer: (chunk, link) => this.#request(chunk, link),
      toClient: (chunk, link) => this.#answer(chunk, link),
    }
  }

  #request(chunk: Buffer, link: Link): unknown {
    const text = (this.#texts.get(link) ?? '') + chunk.toString('latin1')
    this.#texts.set(link, text)
    const sent = /(?:^|[&\n])refresh_token=([\w-]{64})/.exec(text)?.[1]
    if (sent === undefined || this.#grants.has(link)) return undefined
    const grant: Grant = { sentAt: performance.now(), sent, issued: undefined, link }
    this.#grants.set(link, grant)
    this.#texts.delete(link)
    this.sent.push(grant)
    return this.onRequest?.(grant)
  }

  #answer(chunk: Buffer, link: Link): unknown {
    const grant = this.#grants.get(link)
    if (!grant) return undefined
    const text = (this.#texts.get(link) ?? '') + chunk.toString('latin1')
    this.#texts.set(link, text)
    const issued = /"refresh_token":"([\w-]{64})"/.exec(text)?.[1]
    if (issued === undefined || grant.issued !== undefined) return undefined
    grant.issued = issued
    newest.set(familyOf(issued), issued)
    return this.onAnswer?.(grant)
  }
}

/** A login that the suite did itself. */
export function noteLogin(refreshToken: string): void {
  newest.set(familyOf(refreshToken), refreshToken)
}

/** What `oauth_refresh_fingerprint` must be if nothing was lost. */
export function newestFingerprint(refreshToken: string): string {
  return fingerprint(newest.get(familyOf(refreshToken)) ?? refreshToken)
}

/** Whether a request was for this login. */
export function isOf({ sent }: Grant, { refresh_token }: { readonly refresh_token: string }): boolean {
  return familyOf(sent) === familyOf(refresh_token)
}

function familyOf(refreshToken: string): string {
  return refreshToken.slice(0, FAMILY_CHARACTERS)
}
