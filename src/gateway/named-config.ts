/**
 * A config that the client names beside its call: in the header `x-token-broker-config`, or by the base URL
 * `/c/NAME/v1`. The call is then as one of a key that is over this config alone.
 */
import type { IncomingMessage } from 'node:http'
import { BrokerError } from '../base/errors.ts'
import { asListed, ConfigIndex, type ModelConfig } from '../model-config/config-index.ts'
import { notFound } from './routing.ts'
import { decoded } from './target.ts'

const HEADER = 'x-token-broker-config'
const BASE = /^(\/c\/([^/?]+))(\/v1(?:[/?].*)?)$/s

/** Of calls by such a base URL, what stands before `/v1`. */
const bases = new WeakMap<IncomingMessage, string>()

/** A path without the base of a config, which is remembered with its request. */
export function withoutBase(request: IncomingMessage, url: string): string {
  if (!url.startsWith('/c/')) return url
  const [, base, , path] = BASE.exec(url) ?? []
  if (base === undefined || path === undefined) return url
  bases.set(request, base)
  return path
}

/** `/c/NAME` as the client wrote it, or ''. */
export function baseOf(request: IncomingMessage): string {
  return bases.get(request) ?? ''
}

/**
 * The name that is asked for, in every way in which it can be read; undefined if there is none.
 * @throws BrokerError malformed_request
 */
export function namesAsked(request: IncomingMessage): readonly string[] | undefined {
  const header = request.headers[HEADER]
  const base = bases.get(request)
  if (header === undefined && base === undefined) return undefined
  const inHeader = typeof header === 'string' && header !== '' ? readingsOf(header) : undefined
  if (base === undefined) return inHeader
  const inBase = decoded(base.slice('/c/'.length))
  if (inBase === undefined) throw malformed('the name in the base URL cannot be decoded')
  if (inHeader && !inHeader.includes(inBase)) throw malformed(`${HEADER} and the base URL name two configs`)
  return [inBase]
}

/** Those of a scope that are called by one of these names. @throws BrokerError model_not_found */
export function ofNames(scope: ConfigIndex, names: readonly string[] | undefined): ConfigIndex {
  if (!names) return scope
  for (const name of names) {
    const config = scope.named(name)
    if (config) return alone(config)
  }
  throw notFound(scope, `the config "${names[0]?.slice(0, 100)}" was asked for`)
}

const scopes = new WeakMap<ModelConfig, ConfigIndex>()

/** The scope of a key that is over this one only. */
export function alone(config: ModelConfig): ConfigIndex {
  let scope = scopes.get(config)
  if (!scope) {
    scope = new ConfigIndex(asListed([config.id]))
    scope.put(config)
    scopes.set(config, scope)
  }
  return scope
}

/** As it is written, as UTF-8 whose bytes Node took for Latin-1 (RFC 9110 §5.5), and percent-encoded. */
function readingsOf(text: string): string[] {
  const asUtf8 = Buffer.from(text, 'latin1').toString('utf8')
  return [...new Set([text, asUtf8, decoded(text) ?? text])]
}

function malformed(reason: string): BrokerError {
  return new BrokerError('malformed_request', { reason })
}
