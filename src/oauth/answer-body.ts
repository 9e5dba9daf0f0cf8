/**
 * The body of an answer → its members, the way people's servers write them: JSON in any Unicode encoding, with or
 * without a byte order mark, or a form. Where a member stands twice the last one counts.
 */
export type JsonObject = { readonly [name: string]: unknown }

/** Undefined if there is no object to be read. */
export function parseBody(bytes: Uint8Array, contentType: string | null): JsonObject | undefined {
  const text = decode(bytes, contentType ?? '')
  return parseObject(text) ?? parseForm(text, contentType ?? '')
}

/** JSON is UTF-8 (RFC 8259 §8.1), yet a byte order mark or a charset says otherwise where there is one. */
function decode(bytes: Uint8Array, contentType: string): string {
  const named = /charset="?([\w.:-]+)/i.exec(contentType)?.[1]
  for (const encoding of [markedEncoding(bytes), named]) {
    if (encoding === undefined) continue
    try {
      return new TextDecoder(encoding).decode(bytes)
    } catch {
      // a charset that does not exist
    }
  }
  return new TextDecoder().decode(bytes)
}

function markedEncoding([first, second]: Uint8Array): string | undefined {
  if (first === 0xff && second === 0xfe) return 'utf-16le'
  if (first === 0xfe && second === 0xff) return 'utf-16be'
  return first === 0xef && second === 0xbb ? 'utf-8' : undefined
}

function parseObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as JsonObject)
      : undefined
  } catch {
    return undefined
  }
}

/** `access_token=…&token_type=bearer`, as servers older than RFC 6749 answer; some call it plain text. */
function parseForm(text: string, contentType: string): JsonObject | undefined {
  if (!/^\s*(application\/x-www-form-urlencoded|text\/plain)\b/i.test(contentType)) return undefined
  if (!/(^|&)(access_token|device_code|error)=/.test(text)) return undefined
  return Object.fromEntries(new URLSearchParams(text.trim()))
}

/** A number, also as a text with blanks around it. */
export function numberOf(value: unknown): number | undefined {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined
}
