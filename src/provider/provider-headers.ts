/**
 * The headers that a provider file adds to calls, and which of a client's it lets through.
 */
import type { Fields } from './fields.ts'
import { neverPasses, PassHeaders } from './pass-headers.ts'
import { ProviderMistake } from './provider-mistake.ts'

/** A request with two of these could be read in two ways. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  'authorization',
  'connection',
  'content-length',
  'host',
  'transfer-encoding',
  'upgrade',
])

/** Names in lower case; one whose optional input is unset is not sent. @param at where they stand in the file. @throws ProviderMistake | UnfitValue */
export function toHeaders(
  given: Record<string, string> = {},
  fields: Fields,
  at: readonly string[],
): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(given)) {
    assertFree(name, [...at, name])
    const filled = fields.header(value, ...at, name)
    if (filled !== undefined) headers[name.toLowerCase()] = filled
  }
  return headers
}

/** @throws ProviderMistake */
export function toPassHeaders(patterns: readonly string[] = []): PassHeaders | undefined {
  for (const [index, pattern] of patterns.entries()) {
    if ([/\*$/, /-\*$/].some((end) => neverPasses(pattern.replace(end, '')))) {
      const path = ['upstream', 'pass_headers', String(index)]
      throw new ProviderMistake(path, `${pattern} stays at the broker: a key, a cookie or for this hop only`)
    }
  }
  return patterns.length > 0 ? new PassHeaders(patterns) : undefined
}

/** @throws ProviderMistake */
export function assertFree(name: string, at: readonly string[]): void {
  const lower = name.toLowerCase()
  if (OWN_HEADERS.has(lower) || lower.startsWith('sec-websocket-'))
    throw new ProviderMistake(at, 'is set by the broker itself')
}
