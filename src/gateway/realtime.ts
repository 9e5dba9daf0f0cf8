/**
 * WebSockets (`/v1/realtime`): a handshake's whole way, and what holds while the two sockets are joined.
 *
 *   key → limit → configs → credential → upstream's handshake → (401: renew once, again) → joined
 *                    └── the next one, if this one cannot accept ──┘
 *
 * The handshake counts as a call, and so does each answer over it, asked for or not. Sockets end with their key and
 * with their config.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FoundKey } from '../api-key/api-key.ts'
import { BrokerError } from '../base/errors.ts'
import { OpenCounts } from '../base/open-counts.ts'
import { responseHeaders, upstreamRequestId } from '../upstream/headers.ts'
import type { Accepted, Refused } from '../upstream/web-socket.ts'
import { AskingHandshake, type HandshakeParts } from './asking-handshake.ts'
import { useOf } from './client-call.ts'
import { type ClientSocket, closeOf } from './client-socket.ts'
import { firstGoodAnswer } from './failover.ts'
import { FrameError } from './frames.ts'
import type { GatewayParts } from './gateway.ts'
import { acceptance, type ClientHandshake, readHandshake } from './handshake.ts'
import { type Ending, JoinedSockets } from './joined-sockets.ts'
import { assertTargetWithinModels, withinModels } from './limited-keys.ts'
import { namesAsked, ofNames } from './named-config.ts'
import { type Grounds, OpenSockets, POLICY_VIOLATION, type Standing } from './open-sockets.ts'
import { messagesIn } from './realtime-events.ts'
import { chooseRoutes, type Route, worthTrying } from './routing.ts'
import { modelInQuery } from './target.ts'

export interface RealtimeParts
  extends HandshakeParts,
    Pick<GatewayParts, 'apiKeys' | 'limits' | 'keyUses' | 'configs' | 'log' | 'logCall'> {
  readonly changes: Grounds['changes']
  /** No more of one key's are open at once: each holds two connections for as long as its client likes. */
  readonly socketsAKey: number
}

export class Realtime {
  readonly #parts: RealtimeParts
  readonly #open: OpenSockets
  /** By key, with their handshakes. */
  readonly #sockets: OpenCounts

  constructor(parts: RealtimeParts) {
    this.#parts = parts
    this.#open = new OpenSockets(parts)
    this.#sockets = new OpenCounts(parts.socketsAKey)
  }

  /** Answers a handshake: with the two sockets joined, or as any call. @throws BrokerError any of docs/api.md, Calls */
  async handle(request: FastifyRequest, reply: FastifyReply, client: ClientSocket): Promise<void> {
    const { apiKeys, limits, keyUses, usage } = this.#parts
    const startedAt = performance.now()
    const handshake = readHandshake(request.raw)
    const { seen } = this.#parts.changes
    const key = await apiKeys.authenticate(handshake.presented)
    keyUses.note(key)
    limits.count(key)
    const target = request.raw.url ?? ''
    const asked = modelInQuery(target)
    const names = namesAsked(request.raw)
    const routes = await this.#choose({ key, names, asked, target })
    this.#sockets.enter(key.id, closeOf(client.socket))
    const asking = new AskingHandshake(request, key, client.socket)
    const { route, said } = await firstGoodAnswer(asking, routes, this.#parts, (route) =>
      asking.ask({ route, handshake, asked }, this.#parts),
    )
    const isError = said.status !== 101
    usage.count(useOf({ key }, route, isError && !asking.hasLeft))
    if ('socket' in said)
      this.#join({
        request,
        reply,
        client,
        said,
        handshake,
        key,
        names,
        route,
        target,
        asked,
        startedAt,
        seen,
      })
    else passOn(said, request, reply)
  }

  /** Ends all that are open. */
  closeAll(): void {
    this.#open.closeAll()
  }

  /** @throws BrokerError model_not_found | websocket_not_served */
  async #choose({ key, names, asked, target }: Wanted): Promise<readonly Route[]> {
    const { configs, cooldowns } = this.#parts
    if (key.models && asked === undefined && isAlsoCall(target)) throw new BrokerError('websocket_not_served')
    assertTargetWithinModels(key, target, asked)
    const routes = chooseRoutes(key, ofNames(await configs.ofScope(key.modelConfigIds), names), asked)
    return worthTrying(routes, ({ config: { id } }) => cooldowns.isAvailable(id, key.id))
  }

  #join(joining: Joining): void {
    const { request, reply, client, said, handshake, key, names, route, target, asked, seen } = joining
    const { socket, first, protocol, headers } = said
    const messages = this.#messages(joining, () => standing.key)
    const joined = new JoinedSockets(client.socket, socket, {
      fromClient: withinModels(key, messages.fromClient),
      fromUpstream: messages.fromUpstream,
      ended: (ending) => {
        this.#open.delete(standing)
        this.#writeDown(joining, ending)
      },
    })
    const standing: Standing = { seen, handshake, key, names, route, target, asked, joined }
    reply.hijack()
    client.take()
    this.#open.add(standing)
    this.#parts.metrics.openCalls += 1
    const own = [...responseHeaders(headers), 'x-request-id', request.id]
    client.socket.write(acceptance(handshake.webSocketKey, protocol, own), 'latin1')
    joined.start({ client: client.early(), upstream: first })
  }

  /** Counts what is asked and answered. @param keyNow as it was when last looked at */
  #messages({ key, route }: Joining, keyNow: () => FoundKey) {
    const { usage, limits } = this.#parts
    return messagesIn({
      answer() {
        countCall(() => limits.count(keyNow()))
        usage.count(useOf({ key }, route, false))
      },
      cost: (tokenCounts) => usage.count(useOf({ key }, route, false, tokenCounts), 0),
    })
  }

  #writeDown({ request, said, key, route, startedAt }: Joining, { by, code, reason }: Ending): void {
    const { metrics, logCall } = this.#parts
    metrics.openCalls -= 1
    metrics.answered(101)
    logCall({
      requestId: request.id,
      upstreamRequestId: upstreamRequestId(said.headers),
      keyId: key.id,
      configId: route.config.id,
      model: route.model,
      status: 101,
      attempt: 1,
      ms: Math.round(performance.now() - startedAt),
      outcome: code === undefined ? `ended by ${by}` : `${code} ${reason}`,
    })
  }
}

/** What a handshake asks for. */
interface Wanted {
  readonly key: FoundKey
  /** Of a config, as {@link namesAsked} reads it. */
  readonly names: readonly string[] | undefined
  readonly target: string
  /** The model. */
  readonly asked: string | undefined
}

interface Joining extends Wanted {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly client: ClientSocket
  readonly said: Accepted
  readonly handshake: ClientHandshake
  readonly route: Route
  readonly startedAt: number
  readonly seen: number
}

/** Over the limit of its key: there is no answer to refuse, so the connection ends. */
function countCall(count: () => void): void {
  try {
    count()
  } catch (error) {
    if (error instanceof BrokerError) throw new FrameError(POLICY_VIOLATION, error.english)
    throw error
  }
}

/** What is asked there by frames can be asked by a call as well: a client that hears so (426) does, and else tries on. */
function isAlsoCall(target: string): boolean {
  return /^\/v1\/responses(?:\?|$)/.test(target)
}

/** Says that there are no WebSockets at this path, if in other words. */
function isNoPlace(status: number): boolean {
  return status < 300 || status === 501 || (status >= 400 && status < 500 && !OF_THE_ACCOUNT.has(status))
}

const OF_THE_ACCOUNT: ReadonlySet<number> = new Set([401, 402, 429])

/** An answer of HTTP to a handshake. @throws BrokerError upstream_redirected | websocket_not_served */
function passOn({ status, headers, body }: Refused, request: FastifyRequest, reply: FastifyReply): void {
  if (isAlsoCall(request.raw.url ?? '') && isNoPlace(status))
    throw new BrokerError('websocket_not_served', { detail: `status ${status}` })
  if (status > 599) throw new BrokerError('upstream_broken', { detail: `status ${status}` })
  if (status > 300 && status < 400)
    throw new BrokerError('upstream_redirected', { detail: `status ${status}` })
  const kept = responseHeaders(headers, status)
  for (let i = 0; i < kept.length; i += 2) {
    const name = kept[i] as string
    if (name !== 'content-length') reply.header(name, kept[i + 1])
  }
  void reply.code(status).header('x-request-id', request.id).send(body)
}
