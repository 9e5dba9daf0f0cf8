/**
 * One call on its way through the gateway: what the client sent, the upstream call of the moment, and what the
 * trace will tell.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ApiKey } from '../api-key/api-keys.ts'
import { BrokerError } from '../base/errors.ts'
import type { UpstreamCall } from '../upstream/call.ts'
import type { Tokens } from '../usage/token-tail.ts'
import type { Use } from '../usage/usage.ts'
import { type ModelScan, replaceModel } from './model-scan.ts'
import type { Route } from './routing.ts'

export class Exchange {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly key: ApiKey
  readonly body: Buffer | IncomingMessage | null
  readonly scan: ModelScan
  /** From `performance.now()`. */
  readonly startedAt: number
  /** The last call made upstream; cancelled when the client leaves. */
  call: UpstreamCall | undefined = undefined
  /** Calls made upstream so far. */
  attempts = 0
  refresh: 'none' | 'waited' | 'forced' = 'none'
  /** Configs that could not answer, with why, e.g. `first:429`. */
  readonly passedOver: string[] = []

  constructor({ request, reply, key, body, scan, startedAt }: ExchangeStart) {
    this.request = request
    this.reply = reply
    this.key = key
    this.body = body
    this.scan = scan
    this.startedAt = startedAt
  }
}

type ExchangeStart = Pick<Exchange, 'request' | 'reply' | 'key' | 'body' | 'scan' | 'startedAt'>

/** `Authorization: Bearer …`, or `x-api-key`. */
export function presentedKey(headers: IncomingHttpHeaders): string | undefined {
  const { authorization } = headers
  if (authorization?.slice(0, 7).toLowerCase() === 'bearer ') return authorization.slice(7)
  const key = headers['x-api-key']
  return typeof key === 'string' ? key : undefined
}

/** @throws BrokerError malformed_request if a body names two models, of which upstream may take the other */
export function modelOf(scan: ModelScan): string | undefined {
  if (scan === 'ambiguous') {
    throw new BrokerError('malformed_request', { reason: 'the body names two models' })
  }
  return scan === 'none' ? undefined : scan.text
}

/** With another model name where the route asks for one (`config-name/model-id`, an alias); else byte for byte. */
export function bodyFor({ body, scan }: Exchange, route: Route): Exchange['body'] {
  if (!Buffer.isBuffer(body) || typeof scan === 'string') return body
  return route.model === undefined || route.model === scan.text ? body : replaceModel(body, scan, route.model)
}

/** What the books say of a call. A model that was refused and is on no list is a name the client made up. */
export function useOf(
  { key }: Pick<Exchange, 'key'>,
  { config, model = '' }: Route,
  isError: boolean,
  tokens?: Tokens,
): Use {
  const isKnown = !isError || config.models.some(({ model_id }) => model_id === model)
  return { keyId: key.id, configId: config.id, model: isKnown ? model : '', isError, tokens }
}

/** `x-token-broker-trace`: config, attempts, whether a refresh was waited for, who was passed over. No secrets. */
export function traceOf({ attempts, refresh, passedOver }: Exchange, route: Route): string {
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
