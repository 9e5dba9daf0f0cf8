/**
 * An answer's way to the client: which of its headers go along, and what is written down when it is over.
 */

import type { BrokerError } from '../base/errors.ts'
import type { CallLine } from '../base/log.ts'
import type { Metrics } from '../base/metrics.ts'
import type { Acceptances } from '../credential/acceptances.ts'
import { type HeaderList, headerValue } from '../http1/header-list.ts'
import type { Provider } from '../provider/provider.ts'
import type { Config } from '../settings/config.ts'
import { responseHeaders, upstreamRequestId } from '../upstream/headers.ts'
import { quotesAdded } from '../upstream/query.ts'
import { tokenReaderFor } from '../usage/token-reader.ts'
import type { Usage } from '../usage/usage.ts'
import { type Answer, type ClientCall, corsHeaders, traceOf, useOf } from './client-call.ts'
import type { Homes } from './homes.ts'
import { gateFor } from './made-ids.ts'
import { baseOf } from './named-config.ts'
import { locationOf } from './redirect.ts'
import { isEventStream, relay, relayHead } from './relay.ts'

export interface AnswerParts {
  readonly config: Pick<Config, 'basePath'>
  readonly providers: ReadonlyMap<string, Provider>
  readonly acceptances: Pick<Acceptances, 'note'>
  readonly usage: Pick<Usage, 'count'>
  readonly metrics: Metrics
  readonly logCall: (call: CallLine) => void
  readonly homes: Pick<Homes, 'note'>
}

/** @returns at once; the rest follows as it comes */
export function relayAnswer(client: ClientCall, answer: Answer, parts: AnswerParts): void {
  const { call, head, route, credential } = answer
  const { config, providers, acceptances, metrics, usage, logCall } = parts
  const { request, reply, key } = client
  const { status } = head
  const contentType = headerValue(head.headers, 'content-type')
  if (isGood(status, contentType)) acceptances.note(credential)
  const reader = tokenReaderFor(status, contentType, headerValue(head.headers, 'content-encoding'))
  const headers = passedOn(answer, client.target)
  headers.push('x-request-id', request.id, 'x-token-broker-trace', traceOf(client, route))
  const theirId = upstreamRequestId(head.headers)
  if (theirId !== undefined) headers.push('x-upstream-request-id', theirId)
  const location = locationOf(answer, client.target)
  if (location !== undefined) headers.push('location', config.basePath + baseOf(request.raw) + location)
  if (isEventStream(contentType)) headers.push('x-accel-buffering', 'no') // nginx would hold it to its end
  if (request.headers.origin !== undefined) headers.push(...corsHeaders(reply))
  relayHead(call, head, headers, reply.raw)
  client.settleOn(answer)
  reply.hijack()
  metrics.openCalls += 1
  const keepAliveMs = providers.get(route.config.provider)?.upstream.keepAliveMs
  const done = (failure: BrokerError | undefined, hasLeft: boolean) => {
    metrics.openCalls -= 1
    metrics.answered(status)
    if (hasLeft) metrics.abandonedCalls += 1
    else if (failure) metrics.brokenStreams += 1
    const isError = status >= 400 || (failure !== undefined && !hasLeft)
    if (reader) reader.end((tokenCounts) => usage.count(useOf(client, route, isError, tokenCounts)))
    else usage.count(useOf(client, route, isError))
    logCall({
      requestId: request.id,
      upstreamRequestId: theirId,
      keyId: key.id,
      configId: route.config.id,
      model: route.model,
      status,
      attempt: client.attempts,
      ms: Math.round(performance.now() - client.startedAt),
      outcome: failure?.detail,
    })
  }
  const gate = gateFor(client, answer, parts.homes)
  relay(call, head, reply.raw, { asked: request, reader, keepAliveMs, gate, done })
}

/** A page, such as of a form to sign in with, says nothing for the credential. */
function isGood(status: number, contentType: string | undefined): boolean {
  return status >= 200 && status < 300 && !contentType?.startsWith('text/html')
}

/** Without links that quote the credential, as one to the next page may where it stands in the query. */
function passedOn({ call, head }: Answer, asked: string): HeaderList {
  const kept = responseHeaders(head.headers, head.status)
  if (headerValue(kept, 'link') === undefined) return kept
  const isQuoting = (name = '', value = '') => name === 'link' && quotesAdded(value, call.request.path, asked)
  return kept.filter((_, at) => {
    const nameAt = at - (at % 2)
    return !isQuoting(kept[nameAt], kept[nameAt + 1])
  })
}
