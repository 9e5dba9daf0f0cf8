/**
 * JSON text of a row, as far as it is what was stored: who edits rows by hand may break one, and breaks no other.
 */

/** Undefined if it is no list. */
export function storedList(text: string): unknown[] | undefined {
  const value = parsed(text)
  return Array.isArray(value) ? value : undefined
}

/** Undefined if it is no object. */
export function storedObject(text: string): { readonly [name: string]: unknown } | undefined {
  const value = parsed(text)
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isObject ? (value as { [name: string]: unknown }) : undefined
}

/** Those texts of a stored list that are; none of what is no list. */
export function storedTexts(text: string): string[] {
  return (storedList(text) ?? []).filter((one) => typeof one === 'string')
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
