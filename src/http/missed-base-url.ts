/**
 * Calls of an SDK whose base URL does not end in `/v1`: there is nothing at their address, and their SDK shows its
 * user no more of an answer than an OpenAI error's message.
 */
import type { FastifyRequest } from 'fastify'
import { BrokerError } from '../base/errors.ts'

/** What OpenAI's and Anthropic's SDKs put behind a base URL. */
const RESOURCES = new Set(
  (
    'assistants audio batches chat completions containers conversations embeddings evals files fine_tuning images ' +
    'messages models moderations realtime rerank responses threads uploads vector_stores videos'
  ).split(' '),
)
/** Also behind a path that some other server has in front of it. */
const CALL = /\/(?:chat\/completions|completions|embeddings|messages|responses)$/

/** Whether a client of a model API asks for it, rather than one of the management API. */
export function isForSdk(url: string): boolean {
  const [path = ''] = url.split('?', 1)
  const [, first = ''] = path.split('/')
  return first === 'v1' || RESOURCES.has(first) || CALL.test(path)
}

/** The base URL itself, which SDKs call nothing at. */
export function isBareBaseUrl(url: string): boolean {
  return url === '/v1' || url === '/v1/'
}

/** @param publicUrl how people reach this broker; undefined: as this request did, with `basePath` */
export function missedBaseUrl(
  { protocol, host }: FastifyRequest,
  publicUrl: string | undefined,
  basePath: string,
): BrokerError {
  const root = publicUrl?.replace(/\/+$/, '') ?? (host ? `${protocol}://${host}${basePath}` : '')
  const reason = `base URL must end in /v1, and calls go below it: ${root}/v1`
  return new BrokerError('not_found', { reason })
}
