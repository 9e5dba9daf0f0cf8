/**
 * One call on its way through the gateway: what the client sent, the upstream call of the moment, and what the
 * trace will tell.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ApiKey } from '../api-key/api-key.ts'
import { BrokerError } from '../base/errors.ts'
import type { Credential } from '../credential/credential.ts'
import type { Served } from '../model-config/config-index.ts'
import type { ClientRequest } from '../upstream/access.ts'
import type { Head, UpstreamCall } from '../upstream/call.ts'
import type { TokenCounts } from '../usage/token-counts.ts'
import { OTHER_MODELS, type Use } from '../usage/usage.ts'
import type { Hold } from './held-bodies.ts'
import { replaceModel } from './model-scan.ts'
import type { Named } from './named-ids.ts'
import { Patience } from './patience.ts'
import { type ClientBody, hasUnreadBody, NO_BODY } from './request-body.ts'
import type { Route } from './routing.ts'
import { modelInQuery, withModelInQuery, withoutKey } from './target.ts'

/** What upstream said to one try. */
export interface Answer {
  readonly call: UpstreamCall
  readonly head: Head
  /** The config that gave it. */
  readonly route: Route
  /** What it was given for. */
  readonly credential: Credential
}

export class ClientCall {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly key: ApiKey
  body: ClientBody = NO_BODY
  /** What it asks for, and may be asked upstream. */
  readonly target: string
  /** From `performance.now()`. */
  readonly startedAt: number
  /** What it names; undefined if nobody needs to know: its key is over one config. */
  named: Named | undefined = undefined
  /** What of its body is held in memory, until an answer goes on. */
  hold: Hold | undefined = undefined
  /** The last call made upstream; cancelled when the client leaves. */
  upstream: UpstreamCall | undefined = undefined
  /** An answer that was passed over: should nobody have a better one, it tells more than our own error. */
  spare: Answer | undefined = undefined
  /** Calls made upstream so far. */
  attempts = 0
  refresh: 'none' | 'waited' | 'forced' = 'none'
  readonly patience = new Patience()
  /** Configs that could not answer, with why, e.g. `first:429`. */
  readonly passedOver: string[] = []

  constructor({ request, reply, key, startedAt }: ClientCallStart) {
    this.request = request
    this.reply = reply
    this.key = key
    this.target = withoutKey(request.raw.url ?? '')
    this.startedAt = startedAt
  }

  /** Nobody is there to hear an answer. */
  get hasLeft(): boolean {
    return this.reply.raw.destroyed
  }

  /**
   * This answer goes on, which may take long: nobody chooses by the body any more, nor sends it again, and no other
   * answer is asked for. An upload is held on, for the rest of it may still be on its way.
   */
  settleOn({ call }: Pick<Answer, 'call'>): void {
    this.upstream = call
    this.spare = undefined
    const isUpload = this.body.sent === this.request.raw
    this.body = NO_BODY
    if (!isUpload) this.hold?.release()
  }

  /** The connection is done with this call: answered, or left. */
  closed(): void {
    this.hold?.release()
    if (!this.reply.raw.writableFinished) {
      this.upstream?.cancel()
      this.spare?.call.cancel()
      return
    }
    // The connection may idle for long, and keeps its last call meanwhile.
    this.upstream = this.spare = undefined
    this.body = NO_BODY
    // Upstream has answered before the end of the upload; this lets the client come to read it.
    if (hasUnreadBody(this.request.raw)) this.request.raw.socket.destroySoon()
  }
}

type ClientCallStart = Pick<ClientCall, 'request' | 'reply' | 'key' | 'startedAt'>

/**
 * `Authorization: Bearer …`, `x-api-key` or `api-key`; an empty one counts as none.
 * @throws BrokerError invalid_api_key if they are not of one mind: which one was meant is not for us to guess
 */
export function presentedKey(headers: IncomingHttpHeaders): string | undefined {
  const { authorization, 'x-api-key': ofAnthropic, 'api-key': ofAzure } = headers
  let key = authorization !== undefined && BEARER.test(authorization) ? authorization.slice(7).trim() : ''
  if (ofAnthropic === undefined && ofAzure === undefined) return key === '' ? undefined : key
  for (const name of KEY_HEADERS) {
    const value = headers[name]
    if (typeof value !== 'string' || value === '' || value === key) continue
    if (key !== '') {
      const reason = `${name} holds another key than ${key === headers['x-api-key'] ? 'x-api-key' : 'Authorization'}`
      throw new BrokerError('invalid_api_key', { reason })
    }
    key = value
  }
  return key === '' ? undefined : key
}

/** Any white space, not only the one blank of RFC 6750 §2.1. */
const BEARER = /^bearer\s/i
const KEY_HEADERS = ['x-api-key', 'api-key'] as const

/**
 * The model of its body, else of its query.
 * @throws BrokerError malformed_request if either names two models, of which upstream may take the other
 */
export function modelAsked({
  body: { scan },
  target,
}: Pick<ClientCall, 'body' | 'target'>): string | undefined {
  if (scan === 'ambiguous') {
    throw new BrokerError('malformed_request', { reason: 'the body names two models' })
  }
  return typeof scan === 'string' ? modelInQuery(target) : scan.text
}

/**
 * What goes up: with another model name where the route asks for one (`config-name/model-id`, an alias), else byte
 * for byte. A stream goes up once.
 */
export function outgoing(
  { request: { method, raw }, body, target }: ClientCall,
  route: Route,
): ClientRequest {
  const { sent, readable, scan } = body
  const { headers } = raw
  const contentLength = headers['content-length']
  if (!readable || typeof scan === 'string' || route.model === undefined || route.model === scan.text) {
    if (sent === raw && readable) raw.unshift(readable)
    const isInQuery = typeof scan === 'string' && route.model !== undefined
    const asking = isInQuery ? withModelInQuery(target, route.model) : target
    return { method, target: asking, body: sent, contentLength, headers }
  }
  const renamed = replaceModel(readable, scan, route.model)
  if (sent === raw) {
    raw.unshift(renamed)
    const length = Number(contentLength) + renamed.length - readable.length
    return { method, target, body: raw, contentLength: contentLength && String(length), headers }
  }
  // The model was found below the codings, which are gone now.
  const { 'content-encoding': _codings, ...others } = headers
  return { method, target, body: renamed, contentLength: undefined, headers: others }
}

/** What the books say of a call. A model that its config does not list is a name the client made up. */
export function useOf(
  { key }: Pick<ClientCall, 'key'>,
  { config, model }: Route,
  isError: boolean,
  tokenCounts?: TokenCounts,
): Use {
  const booked = model === undefined ? '' : isListed(config.served, model) ? model : OTHER_MODELS
  return { keyId: key.id, configId: config.id, model: booked, isError, tokenCounts }
}

const listed = new WeakMap<Served, ReadonlySet<string>>()

/** Among its models, or the target of an alias. Remembered, because every call asks and a list may be long. */
function isListed(served: Served, model: string): boolean {
  let names = listed.get(served)
  if (!names) {
    names = new Set([...served.models, ...Object.values(served.aliases)])
    listed.set(served, names)
  }
  return names.has(model)
}

/** `x-token-broker-trace`: config, attempts, whether a refresh was waited for, who was passed over. No secrets. */
export function traceOf({ attempts, refresh, passedOver }: ClientCall, route: Route): string {
  const trace = `config=${encodeURIComponent(route.config.name)}; attempt=${attempts}; refresh=${refresh}`
  return passedOver.length === 0
    ? trace
    : `${trace}; failover=${passedOver.map(encodeURIComponent).join(',')}`
}

const CORS_HEADERS = ['access-control-allow-origin', 'access-control-expose-headers', 'vary'] as const

/** What @fastify/cors has put on the reply, for an answer that goes around it. */
export function corsHeaders(reply: FastifyReply): string[] {
  return CORS_HEADERS.flatMap((name) => {
    const value = reply.getHeader(name)
    return value === undefined ? [] : [name, String(value)]
  })
}
