/** Frames of the chunked coding (RFC 9112 §7.1). */

/** Before the bytes of a chunk, behind which comes CRLF. An empty one would be the last. */
export function chunkHead(length: number): string {
  return `${length.toString(16)}\r\n`
}

export const LAST_CHUNK = '0\r\n\r\n'
