/**
 * `/v1/*`: a request's whole way, top to bottom.
 *
 *   key → limit → body → configs → credential → send → (401: renew once, send again) → relay
 *                            └── the next one, if this one cannot answer ──┘
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ApiKeys } from '../api-key/api-keys.ts'
import type { KeyLimits } from '../api-key/key-limits.ts'
import { BrokerError } from '../base/errors.ts'
import type { CallLine, Logger } from '../base/log.ts'
import type { Metrics } from '../base/metrics.ts'
import type { Provider } from '../base/provider.ts'
import { type Credential, resourceUrlOf } from '../credential/credential.ts'
import type { Credentials } from '../credential/credentials.ts'
import type { ModelConfigs } from '../model-config/model-configs.ts'
import type { Head, UpstreamCall } from '../upstream/call.ts'
import { headerValue, requestHeaders, responseHeaders } from '../upstream/headers.ts'
import type { UpstreamPool } from '../upstream/pool.ts'
import { type UpstreamTarget, upstreamPath, upstreamTarget } from '../upstream/resource-url.ts'
import { TokenTail } from '../usage/token-tail.ts'
import type { Usage } from '../usage/usage.ts'
import type { Cooldowns } from './cooldowns.ts'
import { bodyFor, corsHeaders, Exchange, modelOf, presentedKey, traceOf, useOf } from './exchange.ts'
import { restAfterAnswer, restAfterFailure } from './failover.ts'
import { findModel } from './model-scan.ts'
import { modelsList } from './models-list.ts'
import { modelInQuery, withModelInQuery } from './realtime.ts'
import { relay, relayHead } from './relay.ts'
import { readBody } from './request-body.ts'
import { assertUnlimited, chooseRoutes, type Route } from './routing.ts'
import { inStickyOrder } from './sticky.ts'

export interface GatewayParts {
  readonly apiKeys: ApiKeys
  readonly limits: KeyLimits
  readonly configs: ModelConfigs
  readonly providers: ReadonlyMap<string, Provider>
  readonly credentials: Credentials
  readonly cooldowns: Cooldowns
  readonly usage: Pick<Usage, 'count'>
  readonly upstreams: Pick<UpstreamPool, 'send'>
  readonly metrics: Metrics
  readonly log: Logger
  readonly logCall: (call: CallLine) => void
}

/** Where a WebSocket goes; set for @fastify/http-proxy, which carries it. */
export interface RealtimeTarget {
  readonly origin: string
  readonly headers: Record<string, string>
}

/** A call is worth so many tries, whatever the number of a key's configs. */
const MAX_CONFIGS_TRIED = 4

export class Gateway {
  readonly #parts: GatewayParts
  /** Base URLs already checked, per credential version. */
  readonly #targets = new WeakMap<Credential, UpstreamTarget>()

  constructor(parts: GatewayParts) {
    this.#parts = parts
  }

  /**
   * Answers a call. Everything that goes wrong before the first byte is thrown, for the error handler to render.
   * @throws BrokerError any of interface.md §6
   */
  async handle(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { apiKeys, limits, configs, providers, cooldowns, usage } = this.#parts
    const startedAt = performance.now()
    // Only what is not there yet is awaited: a promise costs a call more than finding its key does.
    const known = apiKeys.authenticate(presentedKey(request.headers))
    const key = known instanceof Promise ? await known : known
    limits.count(key)
    const read = readBody(request.raw)
    const body = read instanceof Promise ? await read : read
    const scan = Buffer.isBuffer(body) ? findModel(body, key.models !== null) : 'none'
    const inScope = configs.ofScope(key.modelConfigIds)
    const scope = inScope instanceof Promise ? await inScope : inScope
    const list = isModelsList(request) ? modelsList(key, scope, providers) : undefined
    if (list) return void reply.header('x-request-id', request.id).send(list)

    const asked = modelOf(scan)
    if (asked === undefined && body !== null) assertUnlimited(key)
    const candidates = chooseRoutes(key, scope, asked)
    const routes =
      candidates.length === 1 || body === request.raw
        ? [candidates[0]]
        : this.#inOrder(candidates, request, body)
    const exchange = new Exchange({ request, reply, key, body, scan, startedAt })
    /** An answer that was passed over: should nobody have a better one, it tells more than our own error. */
    let spare: Answer | undefined
    reply.raw.on('close', () => {
      if (reply.raw.writableFinished) return
      exchange.call?.cancel()
      spare?.call.cancel()
    })

    for (const route of routes) {
      const { id, name } = route.config
      const isLast = route === routes.at(-1)
      cooldowns.trying(id)
      try {
        const answer = await this.#attempt(exchange, route)
        const { call, head } = answer
        const restMs = isLast
          ? undefined
          : await restAfterAnswer(head, call, providers.get(route.config.provider))
        if (spare) {
          spare.call.discard()
          usage.count(useOf(exchange, spare.route, true))
        }
        spare = undefined
        if (restMs === undefined) {
          if (head.status < 400) cooldowns.resume(id)
          return this.#relay(exchange, answer)
        }
        spare = answer
        cooldowns.pause(id, restMs)
        exchange.passedOver.push(`${name}:${head.status}`)
      } catch (error) {
        usage.count(useOf(exchange, route, !reply.raw.destroyed))
        const isAnswerable = error instanceof BrokerError && !reply.raw.destroyed
        if (isAnswerable && isLast && spare) return this.#relay(exchange, spare)
        if (!isAnswerable || isLast) {
          spare?.call.cancel()
          throw error
        }
        cooldowns.pause(id, restAfterFailure(error))
        exchange.passedOver.push(`${name}:${error.code}`)
      }
    }
  }

  /** One config: credential → send → (401: renew once, send again). @throws BrokerError */
  async #attempt(exchange: Exchange, route: Route): Promise<Answer> {
    const { credentials, metrics } = this.#parts
    const { id } = route.config
    const onWait = () => {
      exchange.refresh = 'waited'
    }
    const credential = credentials.peek(id) ?? (await credentials.usable(id, onWait))
    const call = this.#send(exchange, credential, route)
    const first = { call, head: await call.head, route }
    if (first.head.status !== 401) return first

    const renewal = credentials.afterRefusal(credential)
    if (exchange.body === exchange.request.raw) {
      renewal.catch(() => undefined) // a streamed body cannot be sent again; the next call gets the new token
      return first
    }
    const newer = await renewal.catch((error: unknown) => {
      call.discard()
      throw error
    })
    if (!newer || exchange.reply.raw.destroyed) return first
    call.discard()
    metrics.replays += 1
    exchange.refresh = 'forced'
    const replay = this.#send(exchange, newer, route)
    return { call: replay, head: await replay.head, route }
  }

  /** Chooses and authorizes like {@link handle}, for a WebSocket handshake. @throws BrokerError */
  async prepareRealtime(request: FastifyRequest): Promise<RealtimeTarget> {
    const { apiKeys, limits, configs, credentials, usage } = this.#parts
    const key = await apiKeys.authenticate(presentedKey(request.headers))
    limits.count(key)
    const url = request.raw.url ?? ''
    const asked = modelInQuery(url)
    if (asked === undefined) assertUnlimited(key)
    const [route] = chooseRoutes(key, await configs.ofScope(key.modelConfigIds), asked)
    const credential = await credentials.usable(route.config.id)
    usage.count(useOf({ key }, route, false))
    const target = this.#target(credential)
    const renamed = route.model === asked ? url : withModelInQuery(url, route.model ?? '')
    request.raw.url = upstreamPath(renamed, target.basePath)
    const list = requestHeaders(request.headers, credential.provider.upstream.headers, credential.accessToken)
    const headers: Record<string, string> = {}
    for (let i = 0; i < list.length; i += 2) headers[list[i] as string] = list[i + 1] as string
    return { origin: target.origin, headers }
  }

  /** Configs that rest come last: they are asked only if nobody else can answer. */
  #inOrder(routes: readonly Route[], { headers }: FastifyRequest, body: Exchange['body']): Route[] {
    const { cooldowns, providers } = this.#parts
    const available = routes.filter(({ config }) => cooldowns.isAvailable(config.id))
    const resting = routes.filter((route) => !available.includes(route))
    const preferred = inStickyOrder(available, providers, headers, body)
    return [...preferred, ...resting].slice(0, MAX_CONFIGS_TRIED)
  }

  /** @throws BrokerError upstream_unreachable if nobody is there to hear the answer */
  #send(exchange: Exchange, credential: Credential, route: Route): UpstreamCall {
    const { request, reply } = exchange
    // The client left while its key was read or a refresh was waited for: nobody would cancel this call.
    if (reply.raw.destroyed) throw new BrokerError('upstream_unreachable', { detail: 'the client left' })
    const target = this.#target(credential)
    const headers = requestHeaders(
      request.headers,
      credential.provider.upstream.headers,
      credential.accessToken,
    )
    exchange.attempts += 1
    const call = this.#parts.upstreams.send({
      origin: target.origin,
      path: upstreamPath(request.raw.url ?? '', target.basePath),
      method: request.method,
      headers,
      body: bodyFor(exchange, route),
      contentLength: request.headers['content-length'],
    })
    exchange.call = call
    return call
  }

  #target(credential: Credential): UpstreamTarget {
    let target = this.#targets.get(credential)
    if (!target) {
      target = upstreamTarget(credential.provider, resourceUrlOf(credential), credential.baseUrl)
      this.#targets.set(credential, target)
    }
    return target
  }

  #relay(exchange: Exchange, { call, head, route }: Answer): void {
    const { providers, metrics, usage, logCall } = this.#parts
    const { request, reply, key } = exchange
    const tail = TokenTail.for(
      head.status,
      headerValue(head.headers, 'content-type'),
      headerValue(head.headers, 'content-encoding'),
    )
    const headers = responseHeaders(head.headers)
    headers.push('x-request-id', request.id, 'x-token-broker-trace', traceOf(exchange, route))
    if (request.headers.origin !== undefined) headers.push(...corsHeaders(reply))
    relayHead(call, head, headers, reply.raw)
    reply.hijack()
    metrics.openCalls += 1
    const keepAliveMs = providers.get(route.config.provider)?.upstream.keepAliveMs
    const done = (failure: BrokerError | undefined, hasLeft: boolean) => {
      metrics.openCalls -= 1
      metrics.answered(head.status)
      if (hasLeft) metrics.abandonedCalls += 1
      else if (failure) metrics.brokenStreams += 1
      const isError = head.status >= 400 || (failure !== undefined && !hasLeft)
      usage.count(useOf(exchange, route, isError, tail?.tokens()))
      logCall({
        requestId: request.id,
        keyId: key.id,
        configId: route.config.id,
        model: route.model,
        status: head.status,
        attempt: exchange.attempts,
        ms: Math.round(performance.now() - exchange.startedAt),
        outcome: failure?.detail,
      })
    }
    relay(call, head, reply.raw, { tail, keepAliveMs, done })
  }
}

interface Answer {
  readonly call: UpstreamCall
  readonly head: Head
  /** The config that gave it. */
  readonly route: Route
}

function isModelsList({ method, raw }: FastifyRequest): boolean {
  return method === 'GET' && (raw.url === '/v1/models' || raw.url?.startsWith('/v1/models?') === true)
}
