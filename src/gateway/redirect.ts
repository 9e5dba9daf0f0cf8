/**
 * Where an answer sends its client. A redirect is never followed here (the credential is for one origin); one within
 * the base URL comes back as a path of ours, any other is an error, for the client's key would be of no use there.
 */
import { BrokerError } from '../base/errors.ts'
import { headerValue } from '../http1/header-list.ts'
import type { Head, UpstreamCall } from '../upstream/call.ts'
import { clientLocation } from '../upstream/resource-url.ts'

interface Answer {
  readonly call: Pick<UpstreamCall, 'discard'> & {
    readonly request: Pick<UpstreamCall['request'], 'origin' | 'path'>
  }
  readonly head: Head
}

/** @throws BrokerError upstream_redirected; the answer is dropped then */
export function assertNotElsewhere(answer: Answer, target: string): void {
  const { head, call } = answer
  if (head.status < 300 || head.status > 399 || head.status === 304) return
  if (headerValue(head.headers, 'location') === undefined || locationOf(answer, target) !== undefined) return
  call.discard()
  throw new BrokerError('upstream_redirected', { detail: `status ${head.status}` })
}

/** `Location` as the client reaches it, if it does. @param target of the client's request line */
export function locationOf({ call, head }: Answer, target: string): string | undefined {
  const location = headerValue(head.headers, 'location')
  return location === undefined ? undefined : clientLocation(location, call.request, target)
}
