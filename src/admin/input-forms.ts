/**
 * What people write into the inputs of a config's form, judged by its provider's file.
 */
import { BrokerError } from '../base/errors.ts'
import type { Said } from '../base/language.ts'
import type { Given, Lack } from '../provider/given.ts'
import { goesElsewhere } from '../provider/places.ts'
import { type Provider, withInputs } from '../provider/provider.ts'

/** As a body has them: what is left out stays, null unsets. */
export type SaidInputs = Readonly<Record<string, string | null>>

/** What comes of them. */
export interface ReadInputs {
  /** The provider as the config then has it. */
  readonly provider: Provider
  /** Names of those that differ. */
  readonly changed: readonly string[]
}

/** @param before as it has its provider now; of a new one the file's own. @throws BrokerError invalid_request */
export function readInputs(before: Provider, said: SaidInputs): ReadInputs {
  const names = before.inputs.map(({ name }) => name)
  const given = new Map([...before.given].filter(([name]) => names.includes(name)))
  for (const [name, value] of Object.entries(said)) {
    if (!names.includes(name)) throw unknownInput(name, names)
    if (value === null) given.delete(name)
    else given.set(name, value)
  }
  const changed = names.filter((name) => before.given.get(name) !== given.get(name))
  return { provider: changed.length > 0 ? withInputs(before, given) : before, changed }
}

/** @throws BrokerError invalid_request if anything is missing without which it is of no use */
export function assertComplete({ lacking: [lack] }: Provider): void {
  if (lack) throw lackError(lack)
}

/**
 * Whoever may manage can write a secret but not read it: what is stored never follows to a host that is new.
 * @throws BrokerError invalid_request that names what has to be written again
 */
export function assertNothingFollows(before: Provider, after: Provider, said: SaidInputs): void {
  const kept = after.inputs.find(
    ({ name, isSecret }) => isSecret && before.given.has(name) && said[name] === undefined,
  )
  if (!kept || !goesElsewhere(before, after)) return
  throw inputError(kept.name, {
    english: 'is needed again: calls go to another host now, where what is stored never goes',
    chinese: '需要重新填写：调用将发往另一个主机，已存储的值不会发往那里',
  })
}

/**
 * What the operator fills in goes where the file says, and nowhere that a config names.
 * @param there the same with a base URL of the config's own
 * @throws BrokerError invalid_request that names what the config has to say itself
 */
export function assertNoDefaultFollows(provider: Provider, there: Provider): void {
  const kept = defaultThatFollows(provider, there)
  if (kept === undefined) return
  throw inputError(kept, {
    english: 'is needed: its default never goes to a base_url of the config',
    chinese: '需要填写：其默认值不会发往此配置自己的 base_url',
  })
}

/** The name of a secret input whose default would go to a host that the file does not name. */
export function defaultThatFollows(provider: Provider, there: Provider): string | undefined {
  const kept = provider.inputs.find(
    ({ name, isSecret, default: byDefault }) =>
      isSecret && byDefault !== undefined && !provider.given.has(name),
  )
  return kept && goesElsewhere(provider, there) ? kept.name : undefined
}

export function lackError({ input, why }: Lack): BrokerError {
  return inputError(input, why)
}

function unknownInput(name: string, names: readonly string[]): BrokerError {
  const list = names.join(', ')
  return inputError(name, {
    english: list === '' ? 'is unknown: this provider has no inputs' : `is unknown; there are ${list}`,
    chinese: list === '' ? '未知：该提供方没有参数' : `未知；可用的有 ${list}`,
  })
}

function inputError(name: string, { english, chinese }: Said): BrokerError {
  const field = `inputs.${name}`
  return new BrokerError('invalid_request', {
    reason: { english: `${field} ${english}`, chinese: `${field} ${chinese}` },
  })
}

/** What a config says of its inputs, without what is secret. @param fingerprint of a secret value */
export function shownInputs(
  { inputs, given }: Provider,
  fingerprint: (value: string) => string,
): Record<string, string | { set: true; fingerprint: string }> {
  const shown: Record<string, string | { set: true; fingerprint: string }> = {}
  for (const { name, isSecret } of inputs) {
    const value = (given as Given).get(name)
    if (value !== undefined) shown[name] = isSecret ? { set: true, fingerprint: fingerprint(value) } : value
  }
  return shown
}
