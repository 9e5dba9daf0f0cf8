/**
 * Coded bodies of calls: undone only to look at what is inside.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { codingOf, codingsOf } from '../base/content-codings.ts'
import { BrokerError } from '../base/errors.ts'

/** More of them in a row than anybody needs. */
const MAX_CODINGS = 4
/** So many bodies are unpacked at once; what is inside is known, and counted, only afterwards. */
const MAX_AT_ONCE = 4

let unpacking = 0
const waiting: (() => void)[] = []

export function isCoded(headers: IncomingHttpHeaders): boolean {
  return headers['content-encoding'] !== undefined && codingsOf(headers['content-encoding']).length > 0
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
  const names = codingsOf(headers['content-encoding'])
  if (names.length === 0) return bytes
  if (names.length > MAX_CODINGS) return undefined
  if (unpacking >= MAX_AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve))
  unpacking += 1
  try {
    return await unpack(bytes, names.reverse(), max)
  } finally {
    unpacking -= 1
    waiting.shift()?.()
  }
}

async function unpack(bytes: Buffer, names: readonly string[], max: number): Promise<Buffer | undefined> {
  let plain = bytes
  for (const name of names) {
    const coding = codingOf(name, plain[0])
    if (!coding) return undefined
    try {
      plain = await coding.inPool(plain, { maxOutputLength: max })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') return undefined
      throw new BrokerError('request_too_large', { reason: `it holds more than ${max >> 20} MiB` })
    }
  }
  return plain
}
