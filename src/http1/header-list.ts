/** Header lists as node:http takes them: name, value, name, value, … */
export type HeaderList = string[]

/** The first header of this name. @param name in lower case, as in the list */
export function headerValue(headers: HeaderList, name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) return headers[i + 1]
  return undefined
}
