/**
 * A client's handshake on its way: what each config it is tried with makes of it.
 */
import type { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { ApiKey } from '../api-key/api-key.ts'
import { BrokerError } from '../base/errors.ts'
import { accessOf, type Credential } from '../credential/credential.ts'
import type { Head } from '../upstream/call.ts'
import { isRefusal } from '../upstream/refusal.ts'
import type { Accepted, Refused, WebSocketOpener } from '../upstream/web-socket.ts'
import type { Asking, FailoverParts } from './failover.ts'
import type { GatewayParts } from './gateway.ts'
import type { ClientHandshake } from './handshake.ts'
import { Patience } from './patience.ts'
import type { Route } from './routing.ts'
import { withModelInQuery, withoutKey } from './target.ts'

export interface HandshakeParts
  extends FailoverParts,
    Pick<GatewayParts, 'credentials' | 'acceptances' | 'metrics'> {
  readonly webSockets: Pick<WebSocketOpener, 'open'>
}

/** What upstream said to one try, to be judged as the answer to any call. */
export interface HandshakeAnswer {
  readonly said: Accepted | Refused
  readonly head: Head
  readonly route: Route
  readonly call: {
    readonly request: { readonly origin: string; readonly path: string }
    peek(): Promise<Buffer>
    discard(): void
    cancel(): void
  }
}

interface Try {
  readonly route: Route
  readonly handshake: ClientHandshake
  /** The model, in the client's words. */
  readonly asked: string | undefined
}

const NOT_SIGNED = {
  reason: {
    english: 'this model takes signed requests, which a WebSocket is not',
    chinese: '该模型只接受签名请求，WebSocket 无法签名',
  },
}

export class AskingHandshake implements Asking<HandshakeAnswer> {
  readonly key: ApiKey
  readonly target: string
  readonly passedOver: string[] = []
  spare: HandshakeAnswer | undefined = undefined
  readonly #request: FastifyRequest
  readonly #socket: Socket
  readonly #patience = new Patience()
  readonly #end = new AbortController()

  /** @throws BrokerError invalid_path */
  constructor(request: FastifyRequest, key: ApiKey, socket: Socket) {
    this.key = key
    this.target = withoutKey(request.raw.url ?? '')
    this.#request = request
    this.#socket = socket
    for (const name of ['end', 'close']) socket.once(name, () => this.#end.abort())
  }

  get hasLeft(): boolean {
    return this.#socket.destroyed
  }

  /** One config, with a renewed token once more if the first is refused. @throws BrokerError */
  async ask({ route, handshake, asked }: Try, parts: HandshakeParts): Promise<HandshakeAnswer> {
    const { credentials, metrics, providers } = parts
    if (providers.get(route.config.provider)?.awsSigV4)
      throw new BrokerError('websocket_not_served', NOT_SIGNED)
    const renamed = route.model === asked ? this.target : withModelInQuery(this.target, route.model ?? '')
    const open = (credential: Credential) => this.#open(credential, renamed, handshake, parts)
    const answered = ({ said, request }: Opened): HandshakeAnswer => {
      const body = 'body' in said ? said.body : Buffer.alloc(0)
      const call = { request, peek: async () => body, discard: () => {}, cancel: () => {} }
      return { said, head: { status: said.status, headers: said.headers }, route, call }
    }
    const credential = await this.#patience.waitFor((ms) =>
      credentials.usable(route.config.id, undefined, ms),
    )
    const first = await open(credential)
    const isRefused = await isRefusal(answered(first), credential.provider.errors.expired)
    const newer = isRefused
      ? await this.#patience.waitFor((ms) => credentials.afterRefusal(credential, ms))
      : undefined
    if (!newer || this.#end.signal.aborted) return answered(first)
    metrics.replays += 1
    return answered(await open(newer))
  }

  async #open(
    credential: Credential,
    target: string,
    { protocols }: ClientHandshake,
    { webSockets, acceptances }: HandshakeParts,
  ): Promise<Opened> {
    const { headers } = this.#request
    const request = accessOf(credential).request({ method: 'GET', target, headers, body: null })
    const said = await webSockets.open({ ...request, protocols }, this.#end.signal)
    if (said.status === 101) acceptances.note(credential)
    return { said, request }
  }
}

interface Opened {
  readonly said: Accepted | Refused
  readonly request: { readonly origin: string; readonly path: string }
}
