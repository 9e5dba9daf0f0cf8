/**
 * What a client sent and what its server got, held against each other byte for byte.
 */
import type { Exchange } from './recorder.ts'

/** Of a request, what the broker must not touch; the key, the agent's name and hop-by-hop headers are its own to say. */
const PASSED =
  /^(accept|accept-encoding|accept-language|content-type|content-encoding|idempotency-key|range|openai-.*|anthropic-.*)$/
const MODELS = /^\/v1\/models(\/[^?]*)?(\?|$)/

export interface Comparison {
  readonly sent: number
  /** How many were the same on both sides. */
  readonly alike: number
  /** How many the broker answered itself, and may. */
  readonly own: number
  readonly differences: string[]
}

/** @param sent on the client's side of a broker @param arrived on the server's */
export function compare(sent: readonly Exchange[], arrived: readonly Exchange[]): Comparison {
  const byId = Map.groupBy(arrived, ({ id }) => id)
  const differences: string[] = []
  let [alike, own] = [0, 0]
  for (const exchange of sent) {
    const [got, ...more] = byId.get(exchange.id) ?? []
    byId.delete(exchange.id)
    const found = got === undefined ? ['never arrived'] : differencesOf(exchange, got)
    if (more.length > 0) found.push(`arrived ${more.length + 1} times`)
    if (got === undefined && isOwn(exchange)) own += 1
    else if (found.length === 0) alike += 1
    else differences.push(`${exchange.method} ${exchange.target}: ${found.join(', ')}`)
  }
  for (const [{ method, target }] of byId.values() as Iterable<[Exchange]>)
    differences.push(`${method} ${target}: nobody sent it`)
  return { sent: sent.length, alike, own, differences }
}

/** The models are those of the key's configs, and nothing outside `/v1` is upstream's. */
function isOwn({ method, target, status }: Exchange): boolean {
  if (!target.startsWith('/v1/')) return status === 404
  return method === 'GET' && MODELS.test(target)
}

function differencesOf(sent: Exchange, got: Exchange): string[] {
  const found: string[] = []
  const differ = (what: string, here: unknown, there: unknown) =>
    found.push(`${what} ${JSON.stringify(here)} became ${JSON.stringify(there)}`)
  for (const what of ['method', 'target', 'status'] as const)
    if (sent[what] !== got[what]) differ(what, sent[what], got[what])
  for (const what of ['body', 'answer'] as const)
    if (!sent[what].equals(got[what])) differ(what, sent[what].toString(), got[what].toString())
  const names = Object.keys({ ...sent.headers, ...got.headers }).filter((name) => PASSED.test(name))
  for (const name of names)
    if (sent.headers[name] !== got.headers[name]) differ(name, sent.headers[name], got.headers[name])
  return found
}
