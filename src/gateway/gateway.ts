/**
 * `/v1/*`: a request's whole way, top to bottom.
 *
 *   key → limit → body → home of its ids, configs → credential → send → (401: renew once, send again) → relay
 *                                            └── the next one, if this one cannot answer ──┘
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ApiKeys } from '../api-key/api-keys.ts'
import type { KeyLimits } from '../api-key/key-limits.ts'
import type { KeyUses } from '../api-key/key-uses.ts'
import { BrokerError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import { accessOf, type Credential } from '../credential/credential.ts'
import type { Credentials } from '../credential/credentials.ts'
import type { ConfigIndex } from '../model-config/config-index.ts'
import type { ModelConfigs } from '../model-config/model-configs.ts'
import type { UpstreamCall } from '../upstream/call.ts'
import type { UpstreamPool } from '../upstream/pool.ts'
import { isRefusal } from '../upstream/refusal.ts'
import { type AnswerParts, relayAnswer } from './answer.ts'
import { type Answer, ClientCall, modelAsked, outgoing, presentedKey } from './client-call.ts'
import { type FailoverParts, firstGoodAnswer } from './failover.ts'
import { type HeldBodies, Hold } from './held-bodies.ts'
import { hasSeveral, homeOf, onlyAt } from './home-of-call.ts'
import type { Homes } from './homes.ts'
import { assertWithinModels } from './limited-keys.ts'
import { ownAnswer, sendOwn } from './models-list.ts'
import { alone, namesAsked, ofNames } from './named-config.ts'
import { namedIn } from './named-ids.ts'
import { type ClientBody, hasBody, readBody } from './request-body.ts'
import { assertCertain, chooseRoutes, type Route, worthTrying } from './routing.ts'
import { inStickyOrder } from './sticky.ts'

export interface GatewayParts extends AnswerParts, FailoverParts {
  readonly apiKeys: ApiKeys
  readonly limits: KeyLimits
  readonly keyUses: Pick<KeyUses, 'note'>
  readonly configs: ModelConfigs
  readonly credentials: Credentials
  readonly homes: Homes
  readonly heldBodies: HeldBodies
  readonly upstreams: Pick<UpstreamPool, 'send'>
  readonly log: Logger
}

/** A body that was passed on while it arrived is gone. Clients send theirs again after 503, but not after 401. */
const SEND_AGAIN = {
  reason:
    'it was renewed while this body was on its way, which cannot be sent a second time; send the call again',
  retryAfterSeconds: 1,
}

export class Gateway {
  readonly #parts: GatewayParts

  constructor(parts: GatewayParts) {
    this.#parts = parts
  }

  /**
   * Answers a call. Everything that goes wrong before the first byte is thrown, for the error handler to render.
   * @throws BrokerError any of docs/api.md, Calls
   */
  async handle(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { apiKeys, limits, keyUses, configs, providers } = this.#parts
    const startedAt = performance.now()
    // Only what is not there yet is awaited: a promise costs a call more than finding its key does.
    const presented = presentedKey(request.headers)
    const key = apiKeys.peek(presented) ?? (await apiKeys.authenticate(presented))
    keyUses.note(key)
    limits.count(key)
    const call = new ClientCall({ request, reply, key, startedAt })
    reply.raw.on('close', () => call.closed())
    if (hasBody(request.raw.headers)) call.body = await this.#read(call)
    const all = configs.peek(key.modelConfigIds) ?? (await configs.ofScope(key.modelConfigIds))
    const names = namesAsked(request.raw)
    const scope = ofNames(all, names)
    const own = ownAnswer(request, key, scope, providers)
    if (own) return sendOwn(own, request, reply)

    if (hasSeveral(all)) call.named = namedIn(call)
    const ids = names ? [] : (call.named?.ids ?? [])
    const home = ids.length > 0 ? await homeOf(call, ids, all, this.#parts.homes) : undefined
    const routes = this.#choose(call, home ? alone(home) : scope)
    try {
      const answer = await firstGoodAnswer(call, routes, this.#parts, (route) => this.#attempt(call, route))
      relayAnswer(call, answer, this.#parts)
    } catch (error) {
      throw onlyAt(home, error)
    }
  }

  /** What of the body is held counts until an answer goes on. */
  #read(call: ClientCall): ClientBody | Promise<ClientBody> {
    const { request, key } = call
    call.hold = new Hold(this.#parts.heldBodies, key.id)
    return readBody(request.raw, key.models !== null, call.hold)
  }

  /** One config: credential → send → (401: renew once, send again). @throws BrokerError */
  async #attempt(call: ClientCall, route: Route): Promise<Answer> {
    const { credentials, metrics } = this.#parts
    const { id } = route.config
    const onWait = () => {
      call.refresh = 'waited'
    }
    const credential =
      credentials.peek(id) ?? (await call.patience.waitFor((ms) => credentials.usable(id, onWait, ms)))
    const sent = this.#send(call, credential, route)
    const first = { call: sent, head: await sent.head, route, credential }
    const refusal = isRefusal(first, credential.provider.errors.expired)
    if (!(typeof refusal === 'boolean' ? refusal : await refusal)) return first

    const renewal = call.patience.waitFor((ms) => credentials.afterRefusal(credential, ms))
    const newer = await renewal.catch((error: unknown) => {
      sent.discard()
      throw error
    })
    if (!newer || call.hasLeft) return first
    sent.discard()
    if (call.body.sent === call.request.raw) throw new BrokerError('refresh_unavailable', SEND_AGAIN)
    metrics.replays += 1
    call.refresh = 'forced'
    const replay = this.#send(call, newer, route)
    return { call: replay, head: await replay.head, route, credential: newer }
  }

  /** At least one. A body that is a stream can be sent to one config only. @throws BrokerError */
  #choose(call: ClientCall, scope: ConfigIndex): readonly Route[] {
    const { request, body, key } = call
    assertWithinModels(key, request.raw, body)
    const asked = modelAsked(call)
    if (asked === undefined && body.isLargeJson) assertCertain(scope)
    if (body.sent === request.raw) {
      const [first] = chooseRoutes(key, scope, asked)
      return first ? [first] : []
    }
    const { cooldowns, providers } = this.#parts
    const { version } = scope
    const candidates = chooseRoutes(key, scope, asked, (configs) =>
      inStickyOrder({ configs, version }, providers, request.headers, body.readable),
    )
    return worthTrying(candidates, ({ config: { id } }) => cooldowns.isAvailable(id, key.id))
  }

  /** @throws BrokerError upstream_unreachable if nobody is there to hear the answer */
  #send(call: ClientCall, credential: Credential, route: Route): UpstreamCall {
    // The client left while its key was read or a refresh was waited for: nobody would cancel this call.
    if (call.hasLeft) throw new BrokerError('upstream_unreachable', { detail: 'the client left' })
    const request = accessOf(credential).request(outgoing(call, route))
    call.attempts += 1
    call.upstream = this.#parts.upstreams.send(request)
    return call.upstream
  }
}
