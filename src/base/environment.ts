/**
 * How one setting is read from the environment. Every mistake is one line that names the setting and never its value.
 */
import { readFileSync } from 'node:fs'
import { Secret } from './secret.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** A setting or file the operator must correct; `message` is one line and holds no value. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/** The same, and which names have been asked for so far. */
export function watched(env: Environment): { readonly env: Environment; readonly asked: Set<string> } {
  const asked = new Set<string>()
  const get = (from: Environment, name: string) => {
    asked.add(name)
    return from[name]
  }
  return { env: new Proxy(env, { get }), asked }
}

/**
 * The setting itself, or the content of the file that `NAME_FILE` names: editors and orchestrators put line ends,
 * white space and byte order marks around what they write.
 */
export function secretOf(env: Environment, name: string): Secret | undefined {
  const file = env[`${name}_FILE`]
  let value = env[name]
  if (file !== undefined) {
    if (value !== undefined) throw new ConfigError(`${name} and ${name}_FILE are both set: keep one`)
    try {
      value = readFileSync(file, 'utf8').trim() // a byte order mark is white space to it, too
    } catch (error) {
      throw new ConfigError(`${name}_FILE cannot be read (${(error as NodeJS.ErrnoException).code})`)
    }
  }
  if (value === undefined) return undefined
  if (value.trim() === '') throw new ConfigError(`${name} is empty: unset it or give it a value`)
  return new Secret(value)
}

export function integerOf(
  env: Environment,
  name: string,
  fallback: number,
  min: number,
  max: number,
): number {
  const text = env[name]
  if (text === undefined) return fallback
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max)) {
    throw new ConfigError(`${name} must be a whole number from ${min} to ${max}`)
  }
  return value
}

/** `true` or `false`; false while unset. */
export function booleanOf(env: Environment, name: string): boolean {
  const text = env[name] || 'false'
  if (text !== 'true' && text !== 'false') throw new ConfigError(`${name} must be true or false`)
  return text === 'true'
}

/** Separated by commas. */
export function listOf(env: Environment, name: string): string[] {
  return (env[name] ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

/** What does not stop a start and yet should be known. */
export interface StartWarning {
  readonly setting: string
  readonly message: string
}
