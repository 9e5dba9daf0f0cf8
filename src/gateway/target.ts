/**
 * A client's request target, its query above all.
 */
import { BrokerError } from '../base/errors.ts'
import { queryOf } from '../upstream/query.ts'

/** A broker key; what only looks a little like one (`risk-tb-1`) is somebody's name for something. */
const KEY = /sk-tb-[A-Za-z0-9_-]{43}/
/** Of percent-encoding: nobody takes off more. */
const MAX_LAYERS = 4

/** The model that is asked for. @throws BrokerError malformed_request if it asks for two */
export function modelInQuery(target: string): string | undefined {
  if (!target.includes('?')) return undefined
  const models = new URLSearchParams(queryOf(target)).getAll('model')
  if (models.length > 1) throw new BrokerError('malformed_request', { reason: 'the query names two models' })
  return models[0]
}

/** The target with another model in the place of the one it has; the rest of the query stays byte for byte. */
export function withModelInQuery(target: string, model: string): string {
  const parts = queryOf(target).split('&')
  const renamed = parts.map((part) => {
    const asked = new URLSearchParams(part).get('model')
    return asked === null || asked === model ? part : `model=${encodeURIComponent(model)}`
  })
  return `${target.slice(0, target.indexOf('?'))}?${renamed.join('&')}`
}

/**
 * The target as it may go upstream: without what holds a broker key in the query, where some clients put it for lack of
 * headers. @throws BrokerError invalid_path if the path holds one
 */
export function withoutKey(target: string): string {
  const query = queryOf(target)
  if (holdsKey(target.slice(0, target.length - query.length))) throw new BrokerError('invalid_path')
  if (query === '' || !holdsKey(query)) return target
  const kept = query.split('&').filter((part) => !holdsKey(part))
  return target.slice(0, target.indexOf('?') + (kept.length > 0 ? 1 : 0)) + kept.join('&')
}

/** However it is encoded, once or more often. */
function holdsKey(text: string): boolean {
  let plain = text
  for (let layers = 0; layers < MAX_LAYERS && plain.includes('%'); layers += 1)
    plain = plain.replace(/%([0-7][0-9a-f])/gi, (_, code) => String.fromCharCode(Number.parseInt(code, 16)))
  return KEY.test(plain)
}

/** Without its percent-encoding; undefined if that is none. */
export function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
