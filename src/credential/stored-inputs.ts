/**
 * What a config says for its provider's inputs, as two columns of its row: the plain values as JSON, the secret ones
 * sealed together.
 */
import { storedObject } from '../base/stored-json.ts'
import { type Given, Unprinted } from '../provider/given.ts'
import type { Provider } from '../provider/provider.ts'
import type { ModelConfigRow } from '../storage/tables.ts'
import type { KeyRing } from '../vault/key-ring.ts'

export type InputColumns = Pick<ModelConfigRow, 'inputs' | 'inputs_sealed'>

export function inputColumns({ inputs }: Provider, given: Given, keyRing: KeyRing): InputColumns {
  const secret = new Set(inputs.filter(({ isSecret }) => isSecret).map(({ name }) => name))
  const textOf = (wanted: boolean) => {
    const some = [...given].filter(([name]) => secret.has(name) === wanted)
    return some.length > 0 ? JSON.stringify(Object.fromEntries(some)) : null
  }
  const sealed = textOf(true)
  return { inputs: textOf(false), inputs_sealed: sealed === null ? null : keyRing.seal(sealed) }
}

/** @throws BrokerError decryption_failed */
export function givenIn({ inputs, inputs_sealed }: InputColumns, keyRing: KeyRing): Given {
  const texts = [inputs, inputs_sealed === null ? null : keyRing.open(inputs_sealed)]
  const entries = texts.flatMap((text) => Object.entries(text === null ? {} : (storedObject(text) ?? {})))
  return new Unprinted(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}
