/**
 * The texts of a provider file as they are read: as they stand in the file, or with what a config fills in.
 *
 * A file without inputs has no placeholders in these fields: a brace is a brace, as it always was. One with inputs is
 * read once without values, which checks every text, and then once for each config.
 */
import { ConfigError, type Environment, secretOf } from '../base/environment.ts'
import { Secret } from '../base/secret.ts'
import { addressTemplate, fillAddress, sampleValues } from './address-template.ts'
import type { Input } from './inputs.ts'
import {
  BUILT_IN,
  fillHeader,
  fillText,
  nameOf,
  parseTemplate,
  type Reference,
  referencesOf,
  type Template,
  UnfitValue,
  UnreadableTemplate,
  type Values,
} from './placeholders.ts'
import { ProviderMistake } from './provider-mistake.ts'

export class Fields {
  readonly #inputs: ReadonlyMap<string, Input>
  readonly #env: Environment
  /** Undefined: nothing is filled in. */
  readonly #values: Values | undefined
  /** Those of the environment, by field: read once, when the file is. */
  readonly #secrets: Map<string, Secret>
  readonly #used = new Set<string>()
  readonly #unset = new Set<string>()

  constructor(
    inputs: ReadonlyMap<string, Input>,
    env: Environment,
    values?: Values,
    secrets = new Map<string, Secret>(),
  ) {
    this.#inputs = inputs
    this.#env = env
    this.#values = values
    this.#secrets = secrets
  }

  /** The same file with the values of a config. */
  with(values: Values): Fields {
    return new Fields(this.#inputs, this.#env, values, this.#secrets)
  }

  /** Whether they hold what a config says. */
  get areFilled(): boolean {
    return this.#values !== undefined
  }

  /** Whether there is an input of this name. */
  has(name: string): boolean {
    return this.#inputs.has(name)
  }

  /** Names of the inputs that some text names which was read so far. */
  get used(): ReadonlySet<string> {
    return this.#used
  }

  /** Variables of the environment that were asked for and are not set. */
  get unset(): ReadonlySet<string> {
    return this.#unset
  }

  /**
   * A client's id, a scope: anything but an address. Undefined also where an optional input that it holds is unset.
   * @throws ProviderMistake | UnfitValue
   */
  text(text: string | undefined, ...path: string[]): string | undefined {
    return this.#read(text, path, fillText)
  }

  /** What others may read, such as a parameter of a query: no input of it is a secret. @throws as {@link text} */
  open(text: string | undefined, ...path: string[]): string | undefined {
    const references =
      text === undefined || this.#inputs.size === 0 ? [] : referencesOf(this.#parse(text, path))
    const secret = references.find(({ name }) => this.#inputs.get(name)?.isSecret)
    if (secret)
      throw new ProviderMistake(path, `has {${nameOf(secret)}}: a secret never stands where others read it`)
    return this.text(text, ...path)
  }

  /** What goes into a header, which is visible ASCII. @throws as {@link text} */
  header(text: string | undefined, ...path: string[]): string | undefined {
    return this.#read(text, path, fillHeader)
  }

  /** The value itself, or `env:NAME`, which may also be in the file that NAME_FILE names. @throws as {@link text} */
  secret(text: string | undefined, ...path: string[]): Secret | undefined {
    if (text === undefined) return undefined
    // Only what the file itself says is a name of the environment: never what a config fills in.
    if (text.startsWith('env:')) {
      const name = text.slice('env:'.length)
      const value = this.variable(name, ...path)
      if (value) return value
      throw new ProviderMistake(path, `reads ${name}, which is not set`)
    }
    const filled = this.#read(text, path, fillText)
    const isOpen = this.#inputs.size > 0 && !this.#values
    return filled === undefined || isOpen ? undefined : new Secret(filled)
  }

  /** A variable of the environment, or the file that NAME_FILE names; undefined where it is not set. @throws ProviderMistake */
  variable(name: string, ...path: string[]): Secret | undefined {
    const field = path.join('.')
    const known = this.#secrets.get(field)
    if (known) return known
    try {
      const value = secretOf(this.#env, name)
      if (value) this.#secrets.set(field, value)
      else this.#unset.add(name)
      return value
    } catch (error) {
      throw error instanceof ConfigError
        ? new ProviderMistake(path, `cannot be had: ${error.message}`)
        : error
    }
  }

  /**
   * An address that a secret may be sent to (address-template.ts).
   * @param problemOf what is wrong with an address, or undefined
   * @throws as {@link text}
   */
  address(
    text: string | undefined,
    problemOf: (address: string) => string | undefined,
    ...path: string[]
  ): string | undefined {
    if (text === undefined) return undefined
    const template = this.#inputs.size > 0 ? this.#parse(text, path) : [text]
    if (referencesOf(template).length === 0) {
      const plain = template.join('')
      const problem = problemOf(plain)
      if (problem) throw new ProviderMistake(path, problem)
      return plain
    }
    return this.#fillAddress(text, template, problemOf, path)
  }

  #fillAddress(
    text: string,
    template: Template,
    problemOf: (address: string) => string | undefined,
    path: string[],
  ): string | undefined {
    try {
      const address = addressTemplate(template, this.#inputs)
      const filled = fillAddress(address, this.#values ?? sampleValues(this.#inputs), this.#inputs)
      const problem = filled === undefined ? undefined : problemOf(filled)
      if (problem) throw new UnreadableTemplate(problem)
      return this.#values ? filled : text
    } catch (error) {
      const isAuthors = error instanceof UnreadableTemplate || (error instanceof UnfitValue && !this.#values)
      throw isAuthors ? new ProviderMistake(path, error.message) : error
    }
  }

  /**
   * A text that is filled anew for each request, by its owner ({@link fillText}, `Provider.values`): with what only
   * then is known. It may name inputs, `{uuid}` and these others, each with its members.
   * @throws ProviderMistake
   */
  late(text: string, others: ReadonlyMap<string, ReadonlySet<string>>, ...path: string[]): Template {
    return this.#parse(text, path, ({ name, member }) => {
      const other = others.get(name)
      return BUILT_IN.has(name) || (other !== undefined && (member === undefined || other.has(member)))
    })
  }

  #read(
    text: string | undefined,
    path: string[],
    fill: (template: Template, values: Values) => string | undefined,
  ): string | undefined {
    if (text === undefined || this.#inputs.size === 0) return text
    const template = this.#parse(text, path)
    return this.#values ? fill(template, this.#values) : text
  }

  #parse(text: string, path: string[], isKnown: (reference: Reference) => boolean = () => false): Template {
    try {
      const template = parseTemplate(text)
      for (const reference of referencesOf(template)) {
        if (!isKnown(reference) && !this.#isOfInput(reference)) {
          const known = [...this.#inputs.keys()].join(', ')
          throw new UnreadableTemplate(`has {${nameOf(reference)}}, which no input gives; inputs: ${known}`)
        }
        this.#used.add(reference.name)
      }
      return template
    } catch (error) {
      throw error instanceof UnreadableTemplate ? new ProviderMistake(path, error.message) : error
    }
  }

  #isOfInput({ name, member }: Reference): boolean {
    const input = this.#inputs.get(name)
    if (!input || member === undefined) return input !== undefined
    return input.type === 'json' ? input.members.has(member) : hasGroup(input.pattern, member)
  }
}

function hasGroup(pattern: RegExp | undefined, group: string): boolean {
  return pattern?.source.includes(`(?<${group}>`) ?? false
}
