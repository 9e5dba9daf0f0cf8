/**
 * Where a text of a token call comes from.
 */
import type { Fields } from './fields.ts'
import { type MetadataSource, toMetadataSource } from './metadata-source.ts'
import type { Provider } from './provider.ts'
import { type SignedJwt, toSignedJwt } from './signed-jwt-config.ts'
import { type SimpleSource, toSimpleSource } from './simple-source.ts'
import type { SourceFile } from './source-schema.ts'
import { type TokenStep, toTokenRequest } from './token-request.ts'
import type { Address } from './upstream-address.ts'

export type Source =
  | SimpleSource
  | MetadataSource
  | { readonly from: 'signed_jwt'; readonly name: string; readonly jwt: SignedJwt }
  /** What another server gives for it, asked anew each time. */
  | { readonly from: 'token_request'; readonly name: string; readonly steps: readonly TokenStep[] }

/** How the sources of a file are read. */
export interface SourceReading {
  readonly fields: Fields
  readonly address: Address
  /** For tests and development. */
  readonly allowsLoopback: boolean
}

/** @throws ProviderMistake | UnfitValue */
export function toSource(
  given: SourceFile | undefined,
  reading: SourceReading,
  ...path: string[]
): Source | undefined {
  if (given === undefined) return undefined
  const { fields, address, allowsLoopback } = reading
  if (typeof given === 'string' || 'file' in given) return toSimpleSource(given, fields, ...path)
  if ('metadata' in given) return toMetadataSource(given, fields, allowsLoopback, ...path)
  const name = path.join('.')
  if ('token_request' in given) {
    const steps = toTokenRequest(given.token_request, { address, fields }, [], ...path, 'token_request')
    return { from: 'token_request', name, steps }
  }
  return { from: 'signed_jwt', name, jwt: toSignedJwt(given.signed_jwt, fields, ...path, 'signed_jwt') }
}

/** What a provider's token calls are made with. */
export function sourcesOf({
  authorizationServer: server,
  subject,
}: Pick<Provider, 'authorizationServer' | 'subject'>): Source[] {
  const all = [subject?.token, server?.clientAssertion, server?.privateKey, server?.certificate]
  return all.filter((source) => source !== undefined)
}

/** Requests in a vendor's own words: those of a provider's sources, and its own. */
export function stepsOf(
  provider: Pick<Provider, 'authorizationServer' | 'subject' | 'tokenRequest'>,
): TokenStep[] {
  const { tokenRequest = [] } = provider
  const before = sourcesOf(provider).flatMap((source) =>
    source.from === 'token_request' ? source.steps : [],
  )
  return [...before, ...tokenRequest]
}
