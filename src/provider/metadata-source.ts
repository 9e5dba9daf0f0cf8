/**
 * The metadata services of machines in clouds: they tell whoever runs there who it is, over plain http, and never through
 * a proxy. Only these addresses are asked so, and no input stands in them but in their query.
 */
import { LOOPBACK } from '../base/network.ts'
import type { Fields } from './fields.ts'
import type { ProviderFile } from './provider-file.ts'
import { toHeaders } from './provider-headers.ts'
import { ProviderMistake } from './provider-mistake.ts'
import type { SourceFile } from './source-schema.ts'

const HOSTS: ReadonlySet<string> = new Set([
  '169.254.169.254',
  '169.254.170.2',
  '169.254.170.23',
  '[fd00:ec2::23]',
  '[fd00:ec2::254]',
  'metadata.google.internal',
])

export interface MetadataSource {
  readonly from: 'metadata'
  readonly name: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** RFC 6901; undefined: the text of the body. */
  readonly pointer: string | undefined
}

/** @param allowsLoopback for tests and development. @throws ProviderMistake | UnfitValue */
export function toMetadataSource(
  given: Extract<SourceFile, { metadata: string }>,
  fields: Fields,
  allowsLoopback: boolean,
  ...path: string[]
): MetadataSource {
  const [address = '', query] = given.metadata.split('?', 2)
  const url = metadataAddress(address, allowsLoopback)
  if (!url)
    throw new ProviderMistake([...path, 'metadata'], `must be http at one of ${[...HOSTS].join(', ')}`)
  return {
    from: 'metadata',
    name: path.join('.'),
    url: query === undefined ? url : `${url}?${filledQuery(query, fields, [...path, 'metadata'])}`,
    headers: toHeaders(given.headers, fields, [...path, 'headers']),
    pointer: given.pointer,
  }
}

/** Whether what a file asks with, or for, is this machine's own: another has another. */
export function usesMetadata({
  subject_token,
  authorization_server: server,
  token_request = [],
}: ProviderFile): boolean {
  const sources = [subject_token, server?.client_assertion, server?.private_key, server?.certificate]
  return sources.some(isOfMachine) || isOfMachine({ token_request })
}

function isOfMachine(source: SourceFile | undefined): boolean {
  if (typeof source !== 'object') return false
  if (!('token_request' in source)) return 'metadata' in source
  return source.token_request.some(({ url }) => metadataAddress(url, false) !== undefined)
}

/** Undefined: it is none. */
export function metadataAddress(text: string, allowsLoopback: boolean): string | undefined {
  if (/[{}]/.test(text) || !URL.canParse(text)) return undefined
  const { protocol, hostname, port, username, search, hash } = new URL(text)
  if (protocol !== 'http:' || username || search || hash) return undefined
  const isOne = HOSTS.has(hostname) && port === ''
  return isOne || (allowsLoopback && LOOPBACK.test(hostname)) ? text : undefined
}

function filledQuery(query: string, fields: Fields, path: readonly string[]): string {
  const parameters = query.split('&').flatMap((one): [string, string][] => {
    const [name = '', ...value] = one.split('=')
    const text = fields.open(decodeURIComponent(value.join('=')), ...path)
    return text === undefined ? [] : [[name, text]]
  })
  return new URLSearchParams(parameters).toString()
}
