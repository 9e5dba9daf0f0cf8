/**
 * A connection, ready for the first byte of a request: through the proxy if there is one, TLS verified end to end.
 *
 * A proxy is always asked for a tunnel (`CONNECT`, RFC 9110 §9.3.6), for http: addresses, too: what goes through
 * then is the same as without a proxy, event streams are not held back, and the proxy's password is said to the
 * proxy once, in a request of its own.
 */
import { connect as connectTcp, isIP, type LookupFunction, type OnReadOpts, type Socket } from 'node:net'
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls'
import { isPublicAddress } from '../base/network.ts'
import { bareHost, type Confined, type EgressProxy } from './egress-proxy.ts'
import { NeverConnected } from './never-connected.ts'
import { notPublic, publicLookup } from './public-lookup.ts'
import type { TlsIdentity } from './tls-identity.ts'

export interface OpenOptions {
  /** As `net.connect` has it. Only a socket without a proxy reads this way; one with it emits `data`. */
  readonly onread?: OnReadOpts
  /** Of the last TLS connection to the target, to take up again. */
  readonly tlsSession?: Buffer | undefined
  readonly onTlsSession?: (session: Buffer) => void
  /** Whom to trust and what to show; its sessions are never taken up again, for they are as old as its files were. */
  readonly tls?: TlsIdentity | undefined
}

/** Who gets the connection. One of the two is called, once, and never before `openSocket` returns. */
export interface Opener {
  /** @param socket paused if it came through a proxy, and without a listener: put one on for its errors */
  onOpen(socket: Socket): void
  onFailure(error: NeverConnected): void
}

/** An attempt that can be given up: nobody is called any more. */
export interface Opening {
  giveUp(): void
}

const TCP_KEEP_ALIVE_MS = 60_000
const MAX_PROXY_HEAD_BYTES = 16 * 1024
const TCP = { noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS }
/** Whatever NODE_TLS_REJECT_UNAUTHORIZED says. */
const TLS = { ALPNProtocols: ['http/1.1'], rejectUnauthorized: true }

/** @param target its scheme says whether TLS is spoken (https:, wss:) */
export function openSocket(
  target: URL,
  proxy: EgressProxy | Confined | undefined,
  options: OpenOptions,
  opener: Opener,
): Opening {
  const attempt = new Attempt(target, opener)
  if (proxy === 'nowhere') attempt.refuse('PROXY_NOT_FOR_ANY_HOST')
  else if (proxy === 'public only') attempt.toPublic(options)
  else if (proxy) attempt.throughProxy(proxy, options)
  else attempt.straight(options)
  return attempt
}

const LOOK_UP_PUBLIC = { lookup: publicLookup() }

class Attempt implements Opening {
  readonly #target: URL
  readonly #opener: Opener
  #socket: Socket | undefined
  #isOver = false

  constructor(target: URL, opener: Opener) {
    this.#target = target
    this.#opener = opener
  }

  giveUp(): void {
    this.#isOver = true
    this.#socket?.destroy()
  }

  refuse(code: string): void {
    setImmediate(() => this.#fail(new NeverConnected(code)))
  }

  /** What is an address already is looked up by nobody. */
  toPublic(options: OpenOptions): void {
    const { host } = placeOf(this.#target)
    if (isIP(host) !== 0 && !isPublicAddress(host)) this.refuse(notPublic().code ?? '')
    else this.straight(options, LOOK_UP_PUBLIC)
  }

  straight({ onread, ...options }: OpenOptions, more: { readonly lookup?: LookupFunction } = {}): void {
    const to = { ...TCP, ...placeOf(this.#target), ...more, ...(onread && { onread }) }
    if (isSecure(this.#target)) this.#secure({ ...to }, options)
    else this.#await(connectTcp(to), 'connect', ({ code }) => code, this.#succeed)
  }

  throughProxy(proxy: EgressProxy, options: OpenOptions): void {
    const { url } = proxy
    const to = { ...TCP, ...placeOf(url) }
    const [socket, event] = isSecure(url)
      ? [connectTls({ ...to, ...TLS, ...serverNameOf(url) }), 'secureConnect']
      : [connectTcp(to), 'connect']
    this.#await(
      socket,
      event,
      ({ code }) => `proxy_unreachable ${code}`,
      () =>
        this.#askForTunnel(socket, proxy, () => {
          if (!isSecure(this.#target)) return this.#succeed(socket)
          this.#secure({ socket: socket.on('error', () => {}) }, options) // TLS hears of its end
        }),
    )
  }

  #askForTunnel(socket: Socket, { authorization }: EgressProxy, established: () => void): void {
    const { hostname, port } = this.#target
    const authority = `${hostname}:${port || (isSecure(this.#target) ? 443 : 80)}`
    const credentials = authorization === undefined ? '' : `proxy-authorization: ${authorization}\r\n`
    let head = Buffer.alloc(0)
    const stop = () => socket.off('data', read).off('end', cut).off('error', cut).off('close', cut)
    const fail = (code: string) => {
      stop()
      this.#fail(new NeverConnected(code))
    }
    const cut = () => fail('proxy_broken')
    const read = (bytes: Buffer) => {
      head = Buffer.concat([head, bytes])
      const answer = readTunnelAnswer(head)
      if (answer === 'incomplete') return
      if (answer !== 'established') return fail(answer)
      stop()
      socket.pause()
      established()
    }
    socket.on('data', read).on('end', cut).on('error', cut).on('close', cut)
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n${credentials}\r\n`, 'latin1')
  }

  #secure(to: object, { tlsSession, onTlsSession, tls }: OpenOptions): void {
    const common = { ...to, ...TLS, ...serverNameOf(this.#target) }
    const secureContext = tls && contextOf(tls)
    if (secureContext instanceof Error) {
      process.nextTick(() => this.#fail(new NeverConnected('TLS_FILES_UNREADABLE', secureContext)))
      return
    }
    const socket: TLSSocket = connectTls(
      secureContext ? { ...common, secureContext } : { ...common, session: tlsSession },
    )
    if (onTlsSession && !tls) socket.on('session', onTlsSession)
    this.#await(socket, 'secureConnect', ({ code, name }) => code ?? name, this.#succeed)
  }

  /** @param said what an error is called */
  #await(
    socket: Socket,
    event: string,
    said: (error: NodeJS.ErrnoException) => string | undefined,
    proceed: (socket: Socket) => void,
  ): void {
    this.#socket = socket
    const stop = () => socket.off(event, stand).off('error', fail).off('close', cut)
    const stand = () => {
      stop()
      proceed(socket)
    }
    const fail = (error: NodeJS.ErrnoException) => {
      stop()
      this.#fail(new NeverConnected(said(error) ?? 'CONNECT_FAILED', error))
    }
    const cut = () => fail(Object.assign(new Error('closed'), { code: 'CONNECTION_CLOSED' }))
    socket.on(event, stand).on('error', fail).on('close', cut)
  }

  readonly #succeed = (socket: Socket) => {
    if (this.#isOver) return
    this.#isOver = true
    this.#opener.onOpen(socket)
  }

  #fail(error: NeverConnected): void {
    this.#socket?.on('error', () => {}).destroy()
    if (this.#isOver) return
    this.#isOver = true
    this.#opener.onFailure(error)
  }
}

function contextOf(tls: TlsIdentity): SecureContext | Error {
  try {
    return tls.context()
  } catch (error) {
    return error as Error
  }
}

/** How a proxy has answered so far; a 2xx has no body, whatever its headers say, and the target says nothing unasked. */
function readTunnelAnswer(head: Buffer): string {
  const end = head.indexOf('\r\n\r\n')
  if (end === -1 && head.length <= MAX_PROXY_HEAD_BYTES) return 'incomplete'
  const status = /^HTTP\/1\.[01] (\d{3})(?: [^\r\n]*)?\r\n/.exec(head.toString('latin1'))?.[1]
  if (status === undefined || (status.startsWith('2') && end + 4 !== head.length)) return 'proxy_malformed'
  return status.startsWith('2') ? 'established' : `proxy_refused ${status}`
}

function isSecure({ protocol }: URL): boolean {
  return protocol === 'https:' || protocol === 'wss:'
}

function placeOf(url: URL): { host: string; port: number } {
  return { host: bareHost(url.hostname), port: Number(url.port || (isSecure(url) ? 443 : 80)) }
}

/** A name to check the certificate against; addresses are none (RFC 6066 §3). */
function serverNameOf(url: URL): { servername?: string; host: string } {
  const host = bareHost(url.hostname)
  return isIP(host) === 0 ? { servername: host, host } : { host }
}
