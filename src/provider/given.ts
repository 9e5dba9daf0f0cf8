/**
 * What a config says for the inputs of its provider's file.
 */
import { inspect } from 'node:util'
import type { Said } from '../base/language.ts'
import { Secret } from '../base/secret.ts'
import { type Input, readInput } from './inputs.ts'
import { metadataAddress } from './metadata-source.ts'
import { parseTemplate, referencesOf, UnfitValue, type Value, type Values } from './placeholders.ts'
import type { ProviderFile } from './provider-file.ts'
import { ProviderMistake } from './provider-mistake.ts'

/** Inputs by name, as people write them. */
export type Given = ReadonlyMap<string, string>

/** An input without which nothing can be sent, and why it counts as none. */
export interface Lack {
  readonly input: string
  readonly why: Said
}

export function lackOf({ input, message, chinese }: UnfitValue): Lack {
  return { input, why: { english: message, chinese } }
}

function unsaid(input: string): Lack {
  return { input, why: { english: 'is needed for this provider', chinese: '该提供方需要填写' } }
}

/** There may be secrets among them: nothing that prints an object prints these. */
export class Unprinted<T> extends Map<string, T> {
  toJSON(): string {
    return '[values]'
  }

  [inspect.custom](): string {
    return '[values]'
  }
}

/** What counts for each input, and the names of those that lack a value or have one that is none. */
export function readAll(
  inputs: readonly Input[],
  given: Given,
): { values: Values; lacking: readonly Lack[] } {
  const values = new Unprinted<Value>()
  const lacking: Lack[] = []
  for (const input of inputs) {
    const byDefault = input.default instanceof Secret ? input.default.reveal() : input.default
    const text = given.get(input.name) ?? byDefault
    if (text === undefined) {
      if (input.isRequired) lacking.push(unsaid(input.name))
      continue
    }
    try {
      values.set(input.name, readInput(input, text))
    } catch (error) {
      if (!(error instanceof UnfitValue)) throw error
      lacking.push(lackOf(error))
    }
  }
  return { values, lacking }
}

/**
 * Of a file in which a config may name any host: it holds no secret that is not the config's own, or whoever manages
 * configs would have the operator's sent to a host of theirs.
 * @throws ProviderMistake
 */
export function checkNothingKept(
  {
    authorization_server: server,
    inputs: written = {},
    subject_token,
    signed_jwt,
    token_request = [],
  }: ProviderFile,
  inputs: readonly Input[],
): void {
  const why = 'would go to any host that a config names'
  const kept = (text: unknown) => text !== undefined && !(typeof text === 'string' && isFilled(text))
  for (const field of ['client_secret', 'private_key', 'client_assertion'] as const) {
    if (kept(server?.[field])) throw new ProviderMistake(['authorization_server', field], why)
  }
  if (kept(subject_token)) throw new ProviderMistake(['subject_token'], why)
  if (kept(signed_jwt?.key)) throw new ProviderMistake(['signed_jwt', 'key'], why)
  for (const [index, { url, sign }] of token_request.entries()) {
    const path = ['token_request', String(index)]
    // Who this machine is, for a later step to send on.
    if (metadataAddress(url, false)) throw new ProviderMistake([...path, 'url'], why)
    if (kept(sign?.secret_key)) throw new ProviderMistake([...path, 'sign', 'secret_key'], why)
  }
  for (const { name, isSecret } of inputs) {
    if (isSecret && written[name]?.default !== undefined)
      throw new ProviderMistake(['inputs', name, 'default'], why)
  }
}

function isFilled(text: string): boolean {
  return referencesOf(parseTemplate(text)).length > 0
}
