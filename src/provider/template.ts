/**
 * Provider files that are templates: some of their values are placeholders, whose names end in `.invalid`, which nobody
 * ever has (RFC 6761 §6.4).
 */
import { stringify } from 'yaml'

const PLACEHOLDER = /\.invalid(?=$|[:/?#])/

/**
 * What to write into CONFIG_FILE to make a provider of it, in YAML, with examples for the values that are missing.
 * @param content of the provider's file, with what CONFIG_FILE says already
 * @returns undefined where nothing is missing
 */
export function missingLines(name: string, content: object): string | undefined {
  const missing = placeholdersIn(content)
  return missing && stringify({ providers: { [name]: missing } })
}

/** Only what holds placeholders, with examples in their place. */
function placeholdersIn(content: object): object | undefined {
  const found = Object.entries(content).flatMap(([name, value]): [string, unknown][] => {
    if (typeof value === 'string') return PLACEHOLDER.test(value) ? [[name, exampleOf(value)]] : []
    const inner = typeof value === 'object' && value !== null ? placeholdersIn(value) : undefined
    return inner ? [[name, inner]] : []
  })
  return found.length > 0 ? Object.fromEntries(found) : undefined
}

/** `https://login.invalid` becomes `https://login.example.com`; what says more of itself loses `.invalid` alone. */
function exampleOf(placeholder: string): string {
  const isBareHost = /^https?:\/\/[^./]+\.invalid/.test(placeholder)
  return placeholder.replace(PLACEHOLDER, isBareHost ? '.example.com' : '')
}
