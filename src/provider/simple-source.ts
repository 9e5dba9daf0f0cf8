/**
 * Where a text comes from that is there already: the provider file, an input, the environment, or a file that somebody
 * else keeps fresh.
 */
import type { Secret } from '../base/secret.ts'
import type { Fields } from './fields.ts'
import { ProviderMistake } from './provider-mistake.ts'
import type { SimpleSourceFile } from './simple-source-schema.ts'

export type SimpleSource =
  /** @property name of the field, for people. @property text undefined: nobody has said it */
  | {
      readonly from: 'text'
      readonly name: string
      readonly text: Secret | undefined
      readonly lacks: string
    }
  /** Read anew for each call: such files are replaced long before their content ends. */
  | { readonly from: 'file'; readonly name: string; readonly path: string }

/** @throws ProviderMistake | UnfitValue */
export function toSimpleSource(given: SimpleSourceFile, fields: Fields, ...path: string[]): SimpleSource {
  const name = path.join('.')
  if (typeof given === 'string') return ofText(given, fields, name, path)
  const { file } = given
  if (file.includes('{'))
    throw new ProviderMistake([...path, 'file'], 'holds no input: nobody picks a file to send out')
  if (!file.startsWith('env:')) return { from: 'file', name, path: file }
  const variable = file.slice('env:'.length)
  const at = fields.variable(variable, ...path, 'file')
  if (at) return { from: 'file', name, path: at.reveal() }
  return { from: 'text', name, text: undefined, lacks: `${variable} is not set` }
}

function ofText(given: string, fields: Fields, name: string, path: string[]): SimpleSource {
  if (!given.startsWith('env:')) {
    return { from: 'text', name, text: fields.secret(given, ...path), lacks: 'has no value' }
  }
  const variable = given.slice('env:'.length)
  return { from: 'text', name, text: fields.variable(variable, ...path), lacks: `${variable} is not set` }
}
