/**
 * How text of ours is written into a statement of MySQL, so that it means the same in every SQL mode and every
 * character set.
 *
 * The driver escapes with backslashes, which under NO_BACKSLASH_ESCAPES are letters. Our session sets the mode, but it
 * can be lost behind a proxy that lends a server's connection to one transaction at a time; therefore no text's safety
 * rests on it. Prepared statements would do as well, at the price of one more round trip for each statement of each
 * connection, of numbers that arrive as DOUBLE, and of a server-wide limit on their number.
 */

/** Marks text as SQL already. */
export type Raw = (text: string) => unknown

const PLAIN = /^[\w .:,;=+/@-]*$/

/** No quote, no backslash and no half of a character reaches the server's parser: other text is written as its bytes. */
export function literalOf(value: unknown, raw: Raw): unknown {
  if (typeof value !== 'string' || PLAIN.test(value)) return value
  return raw(`_utf8mb4 0x${Buffer.from(value).toString('hex')}`)
}
