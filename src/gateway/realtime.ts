/**
 * WebSockets (`/v1/realtime`): a handshake's whole way, and what holds while the two sockets are joined.
 *
 *   key → limit → configs → credential → upstream's handshake → (401: renew once, again) → joined
 *                    └── the next one, if this one cannot accept ──┘
 *
 * The handshake counts as a call, and so does each answer over it, asked for or not. Sockets end with their key and
 * with their config. At `/v1/responses` of a key over several configs the first message says which one is meant: that
 * which made what it names, else one that lists its model. If that is another than has accepted, it is asked instead.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FoundKey } from '../api-key/api-key.ts'
import { BrokerError } from '../base/errors.ts'
import { OpenCounts } from '../base/open-counts.ts'
import { toBrokerError } from '../base/thrown.ts'
import type { ConfigIndex } from '../model-config/config-index.ts'
import { responseHeaders, upstreamRequestId } from '../upstream/headers.ts'
import type { Accepted } from '../upstream/web-socket.ts'
import { AskingHandshake, type HandshakeAnswer, type HandshakeParts } from './asking-handshake.ts'
import { useOf } from './client-call.ts'
import { type ClientSocket, closeOf } from './client-socket.ts'
import { firstGoodAnswer } from './failover.ts'
import { FirstMessage } from './first-message.ts'
import { FrameError } from './frames.ts'
import type { GatewayParts } from './gateway.ts'
import { acceptance, type ClientHandshake, isAlsoCall, passOn, readHandshake } from './handshake.ts'
import { Hold } from './held-bodies.ts'
import { hasSeveral, homeOf, onlyAt } from './home-of-call.ts'
import { type Ending, JoinedSockets } from './joined-sockets.ts'
import { assertTargetWithinModels, withinModels } from './limited-keys.ts'
import { findModel } from './model-scan.ts'
import { alone, namesAsked, ofNames } from './named-config.ts'
import { idsIn, idsInTarget } from './named-ids.ts'
import { type Grounds, OpenSockets, POLICY_VIOLATION, type Standing } from './open-sockets.ts'
import { messagesIn } from './realtime-events.ts'
import { chooseRoutes, mayAnswer, type Route, worthTrying } from './routing.ts'
import { modelInQuery } from './target.ts'

export interface RealtimeParts
  extends HandshakeParts,
    Pick<
      GatewayParts,
      'apiKeys' | 'limits' | 'keyUses' | 'configs' | 'homes' | 'heldBodies' | 'log' | 'logCall'
    > {
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
    const { apiKeys, limits, keyUses, configs, usage } = this.#parts
    const startedAt = performance.now()
    const handshake = readHandshake(request.raw)
    const { seen } = this.#parts.changes
    const key = await apiKeys.authenticate(handshake.presented)
    keyUses.note(key)
    limits.count(key)
    const target = request.raw.url ?? ''
    const asked = modelInQuery(target)
    const scope = await configs.ofScope(key.modelConfigIds)
    const names = namesAsked(request.raw) ?? (await this.#homeOf(key, target, scope))
    const wanted = { request, client, handshake, key, names, asked, target }
    const routes = this.#choose(wanted, scope)
    this.#sockets.enter(key.id, closeOf(client.socket))
    const { route, said } = await this.#ask(wanted, routes)
    usage.count(useOf({ key }, route, said.status !== 101 && !client.socket.destroyed))
    if (!('socket' in said)) return passOn(said, request, reply)
    const isAlsoNamed = isAlsoCall(target) && hasSeveral(scope)
    const joining = { ...wanted, reply, said, route, startedAt, seen, isAlsoNamed }
    this.#accept(joining)
    if (isAlsoNamed && !names) await this.#joinByFirstMessage(joining)
    else this.#join(joining, client.early())
  }

  /** Ends all that are open. */
  closeAll(): void {
    this.#open.closeAll()
  }

  /** @throws BrokerError model_not_found | websocket_not_served */
  #choose({ key, names, asked, target }: Wanted, scope: ConfigIndex): readonly Route[] {
    if (key.models && asked === undefined && isAlsoCall(target)) throw new BrokerError('websocket_not_served')
    assertTargetWithinModels(key, target, asked)
    return this.#worthTrying(key, chooseRoutes(key, ofNames(scope, names), asked))
  }

  /** Its name: what is joined is known to the config alone that made it. @throws BrokerError config_unavailable */
  async #homeOf(key: FoundKey, target: string, scope: ConfigIndex): Promise<readonly string[] | undefined> {
    const ids = hasSeveral(scope) ? idsInTarget(target) : []
    const home = ids.length > 0 ? await homeOf({ key }, ids, scope, this.#parts.homes) : undefined
    return home && [home.name]
  }

  #worthTrying(key: FoundKey, routes: Iterable<Route>): readonly Route[] {
    const { cooldowns } = this.#parts
    return worthTrying(routes, ({ config: { id } }) => cooldowns.isAvailable(id, key.id))
  }

  #ask(wanted: Wanted, routes: readonly Route[]): Promise<HandshakeAnswer> {
    const { request, client, handshake, key, asked } = wanted
    const asking = new AskingHandshake(request, key, client.socket)
    return firstGoodAnswer(asking, routes, this.#parts, (route) =>
      asking.ask({ route, handshake, asked }, this.#parts),
    )
  }

  /** From here on nothing is told by HTTP any more. */
  #accept({ request, reply, client, said, handshake }: Joining): void {
    const own = [...responseHeaders(said.headers), 'x-request-id', request.id]
    reply.hijack()
    client.take()
    this.#parts.metrics.openCalls += 1
    // Browsers, and libraries, end a connection whose server takes none of the subprotocols that were offered.
    const protocol = said.protocol ?? handshake.protocols[0]
    client.socket.write(acceptance(handshake.webSocketKey, protocol, own), 'latin1')
  }

  /** @param early what the client has said already */
  #join(joining: Joining, early: Buffer): void {
    const { client, said, key } = joining
    const messages = this.#messages(joining, () => standing.key)
    const joined = new JoinedSockets(client.socket, said.socket, {
      fromClient: withinModels(key, messages.fromClient),
      fromUpstream: messages.fromUpstream,
      untilKnown: messages.untilKnown,
      ended: (ending) => {
        this.#open.delete(standing)
        this.#writeDown(joining, ending)
      },
    })
    const standing: Standing = { ...joining, joined }
    this.#open.add(standing)
    joined.start({ client: early, upstream: said.first })
  }

  async #joinByFirstMessage(joining: Joining): Promise<void> {
    const { client, said, key } = joining
    const hold = new Hold(this.#parts.heldBodies, key.id)
    const first = new FirstMessage(client.socket, client.early(), said, hold)
    const standing: Standing = { ...joining, joined: first }
    this.#open.add(standing)
    const message = await first.said
    try {
      if (message) {
        const meant = await this.#meant(joining, message.text)
        const upstream = first.upstreamOr(meant.said)
        if (first.ending) upstream.socket.destroy()
        else this.#join({ ...meant, said: upstream }, message.bytes)
      }
    } catch (error) {
      first.refuse(toBrokerError(error))
    }
    hold.release()
    this.#open.delete(standing)
    if (first.ending) this.#writeDown(joining, first.ending)
  }

  /** As it is, or at the config that the message means, of those that the key has by now. @throws BrokerError */
  async #meant(joining: Joining, text: string): Promise<Joining> {
    const { apiKeys, configs, homes } = this.#parts
    const { handshake, key, route, asked } = joining
    const { modelConfigIds } = await apiKeys.authenticate(handshake.presented)
    const scope = await configs.ofScope(modelConfigIds)
    const ids = idsIn(text)
    const home = ids.length > 0 ? await homeOf({ key }, ids, scope, homes) : undefined
    const routes = home ? [...chooseRoutes(key, alone(home), asked)] : this.#listing(joining, text, scope)
    if (routes.length === 0 || routes.some(({ config }) => config.id === route.config.id)) return joining
    try {
      const answer = await this.#ask(joining, routes)
      if (!('socket' in answer.said)) throw new BrokerError('websocket_not_served')
      return { ...joining, said: answer.said, route: answer.route, names: [answer.route.config.name] }
    } catch (error) {
      throw onlyAt(home, error)
    }
  }

  /** Those that list the model of a message under the name it has there: frames go up as they are. */
  #listing({ key, route, asked }: Joining, text: string, scope: ConfigIndex): readonly Route[] {
    const scan = findModel(Buffer.from(text, 'latin1'), false)
    if (typeof scan === 'string' || asked !== undefined) return []
    try {
      if (mayAnswer(route.config.id, key, scope, scan.text)) return []
      const listing = this.#worthTrying(key, chooseRoutes(key, scope, scan.text))
      return listing.flatMap(({ config, model }) => (model === scan.text ? { config, model: undefined } : []))
    } catch (error) {
      if (error instanceof BrokerError) return [] // nobody lists it: upstream says what it thinks of it
      throw error
    }
  }

  /** Counts what is asked and answered. @param keyNow as it was when last looked at */
  #messages({ key, route, isAlsoNamed }: Joining, keyNow: () => FoundKey) {
    const { usage, limits, homes } = this.#parts
    let known: Promise<void> | undefined
    const messages = messagesIn({
      answer() {
        countCall(() => limits.count(keyNow()))
        usage.count(useOf({ key }, route, false))
      },
      cost: (tokenCounts) => usage.count(useOf({ key }, route, false, tokenCounts), 0),
      made(id) {
        if (isAlsoNamed) known = homes.note(key.id, id, route.config.id)
      },
    })
    const untilKnown = () => {
      const until = known
      known = undefined
      return until
    }
    return { ...messages, untilKnown }
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

/** What a handshake asks for, and who asks. */
interface Wanted {
  readonly request: FastifyRequest
  readonly client: ClientSocket
  readonly handshake: ClientHandshake
  readonly key: FoundKey
  /** Of a config, as {@link namesAsked} reads it. */
  readonly names: readonly string[] | undefined
  readonly target: string
  /** The model. */
  readonly asked: string | undefined
}

interface Joining extends Wanted {
  readonly reply: FastifyReply
  readonly said: Accepted
  readonly route: Route
  readonly startedAt: number
  readonly seen: number
  /** Whether what is made here may be named at another of its key's configs. */
  readonly isAlsoNamed: boolean
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
