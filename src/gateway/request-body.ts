/**
 * A request's body: JSON is kept as raw bytes, so that it can be sent again after a 401; everything else
 * (audio, files, multipart) is passed on as it arrives and never held in memory.
 */
import type { IncomingMessage } from 'node:http'
import { BrokerError } from '../base/errors.ts'

/** interface.md §6. */
export const MAX_REPLAYABLE_BYTES = 20 * 1024 * 1024

/** @throws BrokerError request_too_large */
export function readBody(request: IncomingMessage): Buffer | IncomingMessage | null | Promise<Buffer> {
  const { headers } = request
  const length = headers['content-length']
  if (headers['transfer-encoding'] === undefined && (length === undefined || length === '0')) return null
  if (!isJson(headers['content-type'])) return request
  if (length !== undefined && Number(length) > MAX_REPLAYABLE_BYTES)
    throw new BrokerError('request_too_large')
  return collect(request)
}

function isJson(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/json\b/i.test(contentType)
}

function collect(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const clientLeft = () => reject(new BrokerError('malformed_request', { detail: 'the client left' }))
    if (request.destroyed) return clientLeft() // while its key was read: nothing more will be heard of it
    const chunks: Buffer[] = []
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > MAX_REPLAYABLE_BYTES) {
        request.removeAllListeners('data')
        reject(new BrokerError('request_too_large'))
        return
      }
      chunks.push(chunk)
    })
    request.once('end', () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)))
    request.once('error', (cause) => reject(new BrokerError('malformed_request', { cause })))
    // Every request closes; an error made for each, with its stack, would cost a tenth of the whole call.
    request.once('close', () => {
      if (!request.complete) clientLeft()
    })
  })
}
