/**
 * `Content-Encoding` (RFC 9110 §8.4): undone by those who have to look at what is inside, at once, in the thread pool,
 * or as it comes.
 */
import type { Transform } from 'node:stream'
import { promisify } from 'node:util'
import {
  brotliDecompress,
  brotliDecompressSync,
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
  gunzip,
  gunzipSync,
  inflate,
  inflateRaw,
  inflateRawSync,
  inflateSync,
  zstdDecompress,
  zstdDecompressSync,
} from 'node:zlib'

interface Options {
  readonly maxOutputLength: number
  readonly finishFlush?: number
}

export interface Coding {
  /** @throws Error for what is not coded so, or longer inside */
  readonly now: (bytes: Buffer, options: Options) => Buffer
  /** In the thread pool. Rejects as {@link now} throws. */
  readonly inPool: (bytes: Buffer, options: Options) => Promise<Buffer>
  /** As it comes, in the thread pool. */
  readonly stream: () => Transform
  /** What ends a beginning, which may be cut off anywhere. */
  readonly flush: number
}

const { Z_SYNC_FLUSH, BROTLI_OPERATION_FLUSH, ZSTD_e_flush } = constants
const GZIP: Coding = {
  now: gunzipSync,
  inPool: promisify<Buffer, Options, Buffer>(gunzip),
  stream: createGunzip,
  flush: Z_SYNC_FLUSH,
}
const CODINGS: ReadonlyMap<string, Coding> = new Map([
  ['gzip', GZIP],
  ['x-gzip', GZIP],
  [
    'br',
    {
      now: brotliDecompressSync,
      inPool: promisify<Buffer, Options, Buffer>(brotliDecompress),
      stream: createBrotliDecompress,
      flush: BROTLI_OPERATION_FLUSH,
    },
  ],
  [
    'zstd',
    {
      now: zstdDecompressSync,
      inPool: promisify<Buffer, Options, Buffer>(zstdDecompress),
      stream: createZstdDecompress,
      flush: ZSTD_e_flush,
    },
  ],
  [
    'deflate',
    {
      now: inflateSync,
      inPool: promisify<Buffer, Options, Buffer>(inflate),
      stream: createInflate,
      flush: Z_SYNC_FLUSH,
    },
  ],
])
/** `deflate` as some send it, without the format of zlib around it. */
const BARE: Coding = {
  now: inflateRawSync,
  inPool: promisify<Buffer, Options, Buffer>(inflateRaw),
  stream: createInflateRaw,
  flush: Z_SYNC_FLUSH,
}

/** In lower case, in the order in which they were applied. */
export function codingsOf(header: string | null | undefined): string[] {
  if (!header) return []
  const names = header.toLowerCase().split(',')
  return names.map((name) => name.trim()).filter((name) => name !== '' && name !== 'identity')
}

/** @param first byte of what is coded: the method in the first half byte of zlib's format is 8 (RFC 1950 §2.2) */
export function codingOf(name: string, first = 0x08): Coding | undefined {
  return name === 'deflate' && (first & 0x0f) !== 8 ? BARE : CODINGS.get(name)
}

/**
 * The beginning of what is inside, or all of it.
 * @param names as {@link codingsOf} gives them
 * @returns undefined for a coding that nobody knows
 * @throws Error for what is not coded so, or is longer than `maxOutputLength` inside
 */
export function decodedNow(
  bytes: Buffer,
  names: readonly string[],
  { maxOutputLength, isBeginning = false }: { maxOutputLength: number; isBeginning?: boolean },
): Buffer | undefined {
  let plain = bytes
  for (const name of names.toReversed()) {
    const coding = codingOf(name, plain[0])
    if (!coding) return undefined
    plain = coding.now(plain, { maxOutputLength, ...(isBeginning && { finishFlush: coding.flush }) })
  }
  return plain
}
