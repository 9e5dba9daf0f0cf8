/**
 * Text of others in a terminal or a log: characters that would move the cursor, colour, or turn the line around are
 * written out.
 */

/** C0 but for the ends of lines, DEL, C1, bidirectional controls, separators that some readers take for line ends. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

export function visible(text: string): string {
  return text.replace(HIDDEN, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
