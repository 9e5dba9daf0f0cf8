/**
 * `Content-Encoding` (RFC 9110 §8.4): undone only to look at what is inside.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { promisify } from 'node:util'
import {
  brotliDecompress,
  brotliDecompressSync,
  constants,
  gunzip,
  gunzipSync,
  inflate,
  inflateRaw,
  inflateRawSync,
  inflateSync,
  zstdDecompress,
  zstdDecompressSync,
} from 'node:zlib'
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

/** Of a beginning that is undone at once; more is nothing to hold everybody up for. */
const MAX_BEGINNING_BYTES = 1024 * 1024
const { Z_SYNC_FLUSH, BROTLI_OPERATION_FLUSH, ZSTD_e_flush } = constants
const zlib = { finishFlush: Z_SYNC_FLUSH, maxOutputLength: MAX_BEGINNING_BYTES }

const OF_BEGINNING: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: (bytes) => gunzipSync(bytes, zlib),
  'x-gzip': (bytes) => gunzipSync(bytes, zlib),
  deflate: (bytes) => (isZlib(bytes) ? inflateSync(bytes, zlib) : inflateRawSync(bytes, zlib)),
  br: (bytes) => brotliDecompressSync(bytes, { ...zlib, finishFlush: BROTLI_OPERATION_FLUSH }),
  zstd: (bytes) => zstdDecompressSync(bytes, { ...zlib, finishFlush: ZSTD_e_flush }),
}

/** What there is so far of an answer in one coding; undefined where it is not known, or not what it should be. */
export function beginningWithout(coding: string, bytes: Buffer): Buffer | undefined {
  const name = coding.trim().toLowerCase()
  try {
    return Object.hasOwn(OF_BEGINNING, name) ? OF_BEGINNING[name]?.(bytes) : undefined
  } catch {
    return undefined
  }
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
