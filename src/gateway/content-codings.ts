/**
 * `Content-Encoding` of requests (RFC 9110 §8.4): undone only to look at what is inside.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, inflateRaw, zstdDecompress } from 'node:zlib'
import { BrokerError } from '../base/errors.ts'

type Decoder = (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>

const unzip: Decoder = promisify(gunzip)
const inflateZlib: Decoder = promisify(inflate)
const inflateBare: Decoder = promisify(inflateRaw)

const DECODERS: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ['gzip', unzip],
  ['x-gzip', unzip],
  ['br', promisify(brotliDecompress)],
  ['zstd', promisify(zstdDecompress)],
  ['deflate', (bytes, options) => (isZlib(bytes) ? inflateZlib : inflateBare)(bytes, options)],
])
/** More of them in a row than anybody needs. */
const MAX_CODINGS = 4
/** So many bodies are unpacked at once; what is inside is known, and counted, only afterwards. */
const MAX_AT_ONCE = 4

let unpacking = 0
const waiting: (() => void)[] = []

export function isCoded(headers: IncomingHttpHeaders): boolean {
  return headers['content-encoding'] !== undefined && codingsOf(headers).length > 0
}

/**
 * @returns undefined where a coding is not known, or the bytes are not what they should be
 * @throws BrokerError request_too_large if more than `max` bytes are inside
 */
export async function withoutCodings(
  bytes: Buffer,
  headers: IncomingHttpHeaders,
  max: number,
): Promise<Buffer | undefined> {
  if (!isCoded(headers)) return bytes
  const decoders = codingsOf(headers).map((coding) => DECODERS.get(coding))
  if (decoders.length > MAX_CODINGS) return undefined
  if (unpacking >= MAX_AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve))
  unpacking += 1
  try {
    return await unpack(bytes, decoders.reverse(), max)
  } finally {
    unpacking -= 1
    waiting.shift()?.()
  }
}

async function unpack(
  bytes: Buffer,
  decoders: readonly (Decoder | undefined)[],
  max: number,
): Promise<Buffer | undefined> {
  let plain = bytes
  for (const decode of decoders) {
    if (!decode) return undefined
    try {
      plain = await decode(plain, { maxOutputLength: max })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') return undefined
      throw new BrokerError('request_too_large', { reason: `it holds more than ${max >> 20} MiB` })
    }
  }
  return plain
}

/** In lower case, in the order in which they were applied. */
function codingsOf(headers: IncomingHttpHeaders): string[] {
  const names = headers['content-encoding']?.toLowerCase().split(',') ?? []
  return names.map((name) => name.trim()).filter((name) => name !== '' && name !== 'identity')
}

/** Its header (RFC 1950 §2.2). Some send the bare format under the same name. */
function isZlib(bytes: Buffer): boolean {
  return bytes.length >= 2 && ((bytes[0] ?? 0) & 0x0f) === 8 && bytes.readUInt16BE(0) % 31 === 0
}
