/**
 * Bodies of calls: JSON as it came, for the handlers to read; of anything else the beginning is kept, and all of it
 * weighed while it streams by.
 */
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type Type from 'typebox'
import { Check, Errors } from 'typebox/value'
import { ApiError } from './api-error.ts'

export interface Upload {
  readonly type: string
  readonly bytes: number
  /** Undefined if it is longer than what is kept. */
  readonly kept: Buffer | undefined
}

const MAX_KEPT_BYTES = 1024 * 1024

export function acceptBodies(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  )
  scope.addContentTypeParser('*', ({ headers }: FastifyRequest, payload: IncomingMessage) =>
    weigh(headers['content-type'] ?? '', payload),
  )
}

async function weigh(type: string, chunks: AsyncIterable<Buffer>): Promise<Upload> {
  const kept: Buffer[] = []
  let bytes = 0
  for await (const chunk of chunks) {
    bytes += chunk.length
    if (bytes <= MAX_KEPT_BYTES) kept.push(chunk)
  }
  return { type, bytes, kept: bytes <= MAX_KEPT_BYTES ? Buffer.concat(kept) : undefined }
}

/** @throws ApiError invalid_body */
export function uploadOf(body: unknown): Upload {
  if (body === undefined || Buffer.isBuffer(body)) {
    throw new ApiError('invalid_body', null, 'send a file as multipart/form-data')
  }
  return body as Upload
}

/** Of an upload that is a form and was kept; undefined of any other. */
export async function formOf({ type, kept }: Upload): Promise<FormData | undefined> {
  if (!kept || !/^multipart\/form-data\b/i.test(type)) return undefined
  try {
    return await new Response(new Uint8Array(kept), { headers: { 'content-type': type } }).formData()
  } catch {
    return undefined
  }
}

/** @throws ApiError invalid_body | model_not_found */
export function readCall<Schema extends OfCall>(
  body: unknown,
  schema: Schema,
  model: string,
): Type.Static<Schema> {
  const call = Buffer.isBuffer(body) ? parse(body) : undefined
  if (call === undefined) throw new ApiError('invalid_body', null, 'it is not JSON')
  if (!Check(schema, call)) {
    const [problem] = Errors(schema, call)
    throw new ApiError('invalid_body', problem?.instancePath.split('/')[1] ?? null, problem?.message)
  }
  if ((call as { model: string }).model !== model) throw new ApiError('model_not_found', 'model')
  return call as Type.Static<Schema>
}

type OfCall = Type.TObject<{ model: Type.TString }>

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}
