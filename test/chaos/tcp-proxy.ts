/**
 * A stretch of network between two processes that can be slow, be listened to, or swallow everything.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** One connection through the proxy. */
export interface Link {
  /** From `performance.now()`. */
  readonly openedAt: number
  /** When the client's side was gone. */
  clientEndedAt: number | undefined
  /** It was open, or opened, while packets were dropped: it never comes back to life. */
  isForgotten: boolean
}

/**
 * Sees chunks on their way; what it returns is waited for. `false`: the chunk is lost, and the connection too.
 * A buffer: the other side never sees the chunk, and this is what it is answered with.
 */
export interface Tap {
  toServer?(chunk: Buffer, link: Link): unknown
  toClient?(chunk: Buffer, link: Link): unknown
}

export class TcpProxy {
  readonly port: number
  /** Connections so far. */
  links: Link[] = []
  /** Each way, each chunk. */
  latencyMs = 0
  tap: Tap = {}
  readonly #server: Server
  readonly #target: { host: string; port: number }
  readonly #sockets = new Set<Socket>()
  #dropping: PromiseWithResolvers<void> | undefined

  /** @param target any URL with a host and a port */
  static async to(target: string): Promise<TcpProxy> {
    const { hostname: host, port } = new URL(target)
    const server = createServer({ allowHalfOpen: true })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new TcpProxy(server, { host, port: Number(port) })
  }

  private constructor(server: Server, target: { host: string; port: number }) {
    this.#server = server
    this.#target = target
    this.port = (server.address() as AddressInfo).port
    server.on('connection', (client) => this.#carry(client))
  }

  /** The same URL, by way of this proxy. */
  via(target: string): string {
    const url = new URL(target)
    url.host = `127.0.0.1:${this.port}`
    return url.href
  }

  /** From now on nothing passes, and nobody is told. */
  drop(): void {
    this.#dropping ??= Promise.withResolvers()
  }

  /**
   * Packets pass again: `late` delivers what was held back, `forgotten` leaves all connections of the outage
   * dead for good, as routers do that lost their tables.
   */
  heal(how: 'late' | 'forgotten'): void {
    if (how === 'forgotten')
      for (const link of this.links) link.isForgotten = link.clientEndedAt === undefined
    this.#dropping?.resolve()
    this.#dropping = undefined
  }

  async close(): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    this.heal('late')
  }

  #carry(client: Socket): void {
    const link: Link = { openedAt: performance.now(), clientEndedAt: undefined, isForgotten: false }
    this.links.push(link)
    const server = connect({ ...this.#target, allowHalfOpen: true })
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      this.#sockets.add(socket)
      socket.on('error', () => {}) // told by the pump
      socket.once('close', () => this.#sockets.delete(socket))
    }
    const clientGone = () => {
      link.clientEndedAt ??= performance.now()
    }
    client.once('end', clientGone).once('close', clientGone)
    void this.#pump(client, server, link, (chunk) => this.tap.toServer?.(chunk, link))
    void this.#pump(server, client, link, (chunk) => this.tap.toClient?.(chunk, link))
  }

  async #pump(from: Socket, to: Socket, link: Link, look: (chunk: Buffer) => unknown): Promise<void> {
    try {
      for await (const chunk of from) {
        await this.#passable(link)
        const seen = await look(chunk)
        if (seen === false) throw new Error('lost on the way')
        if (Buffer.isBuffer(seen)) {
          from.write(seen)
          continue
        }
        if (this.latencyMs > 0) await sleep(this.latencyMs)
        await this.#passable(link)
        if (to.writable && !to.write(chunk)) await Promise.race([once(to, 'drain'), once(to, 'close')])
      }
      await this.#passable(link)
      to.end()
    } catch {
      await this.#passable(link)
      from.destroy()
      to.destroy()
    }
  }

  async #passable(link: Link): Promise<void> {
    while (this.#dropping) await this.#dropping.promise
    if (link.isForgotten) await new Promise(() => {})
  }
}
