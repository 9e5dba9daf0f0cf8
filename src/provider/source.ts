/**
 * Where a text of a token call comes from.
 */
import type { Fields } from './fields.ts'
import { type MetadataSource, toMetadataSource } from './metadata-source.ts'
import { type SignedJwt, toSignedJwt } from './signed-jwt-config.ts'
import { type SimpleSource, toSimpleSource } from './simple-source.ts'
import type { SourceFile } from './source-schema.ts'

export type Source =
  | SimpleSource
  | MetadataSource
  | { readonly from: 'signed_jwt'; readonly name: string; readonly jwt: SignedJwt }

/** @throws ProviderMistake | UnfitValue */
export function toSource(
  given: SourceFile | undefined,
  fields: Fields,
  allowsLoopback: boolean,
  ...path: string[]
): Source | undefined {
  if (given === undefined) return undefined
  if (typeof given === 'string' || 'file' in given) return toSimpleSource(given, fields, ...path)
  if ('metadata' in given) return toMetadataSource(given, fields, allowsLoopback, ...path)
  const jwt = toSignedJwt(given.signed_jwt, fields, ...path, 'signed_jwt')
  return { from: 'signed_jwt', name: path.join('.'), jwt }
}
