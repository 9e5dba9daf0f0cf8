/**
 * Texts that stand for what nobody is to see or nobody has said: they fit where a value fits, and are written as the
 * placeholders that they stand for once a request is made. So a secret never comes into a request that is shown.
 */
import { generateKeyPairSync } from 'node:crypto'
import { Secret } from '../../base/secret.ts'
import { lackOf, type readAll } from '../../provider/given.ts'
import { type Input, readInput } from '../../provider/inputs.ts'
import { fillText, parseTemplate, UnfitValue, type Value } from '../../provider/placeholders.ts'

const STAND_IN = /phx\d+xhp/i
const JWT = /\b(eyJ[\w-]+)\.(eyJ[\w-]+)\.[\w-]+/g
const BASE64 = /[A-Za-z0-9+/_-]{12,}={0,2}/g

export class StandIns {
  /** By the text in whose place a placeholder is shown. */
  readonly #shown = new Map<string, string>()
  #made = 0

  /** @param name of what it stands for, as a provider file would have it. @param end to be a host with */
  of(name: string, end = ''): string {
    this.#made += 1
    const text = `phx${this.#made}xhp${end}`
    this.#shown.set(text, name)
    return text
  }

  /** A text that is new each time, shown by its name. */
  name(text: string, name: string): void {
    this.#shown.set(text, name)
  }

  secret(name: string): Secret {
    return new Secret(this.of(name))
  }

  /** A key that nothing else was ever signed with, in PEM. */
  key(name: string, isElliptic = false): string {
    const { privateKey } = isElliptic
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 })
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    const value = { text: pem, members: new Map<string, string>() }
    const print = fillText(parseTemplate('{key.fingerprint}'), new Map([['key', value]])) ?? ''
    this.#shown.set(pem, name).set(print, `${name}.fingerprint`)
    return pem
  }

  /** Whether a text of a request was made of any: what was not stands in the file itself. */
  areIn(text: string): boolean {
    return STAND_IN.test(text)
  }

  /** With placeholders; a JWT by what it says, without its signature, and what is in Base64 as it was before. */
  shown(text: string): string {
    let shown = legible(text)
    for (const [standIn, name] of this.#shown) {
      const upper = standIn.toUpperCase()
      shown = shown.replaceAll(standIn, `{${name}}`).replaceAll(upper, `{${name}|upper}`)
    }
    return shown
  }
}

function legible(text: string): string {
  return text
    .replace(JWT, (_, header: string, claims: string) => `<${plain(header)}.${plain(claims)}>`)
    .replace(BASE64, (run) => (STAND_IN.test(plain(run)) ? `base64(${plain(run)})` : run))
}

function plain(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8')
}

/**
 * What inputs are filled with: what is no secret as it was given, by default, or as its example has it; all else by
 * stand-ins, also a secret that was given, once it has been judged.
 */
export function standInReader(standIns: StandIns): typeof readAll {
  return (inputs, given) => {
    const values = new Map<string, Value>()
    const lacking = []
    for (const input of inputs) {
      const { default: byDefault, isRequired } = input
      const said = given.get(input.name) ?? (byDefault instanceof Secret ? byDefault.reveal() : byDefault)
      if (said === undefined && !isRequired) continue
      try {
        const read = said === undefined ? ofExample(input) : readInput(input, said)
        values.set(input.name, read && !input.isSecret ? read : standInFor(input, standIns))
      } catch (error) {
        if (!(error instanceof UnfitValue)) throw error
        lacking.push(lackOf(error))
      }
    }
    return { values, lacking }
  }
}

function ofExample(input: Input): Value | undefined {
  const text = input.choices?.[0] ?? input.example
  try {
    return text === undefined ? undefined : readInput(input, text)
  } catch {
    return undefined // an example for people alone
  }
}

function standInFor(input: Input, standIns: StandIns): Value {
  const { name, type, pattern, members, allowedSuffixes } = input
  const groups = [...(pattern?.source ?? '').matchAll(/\(\?<(\w+)>/g)].map(([, group = '']) => group)
  const inner = type === 'json' ? [...members.keys()] : groups
  const text =
    type === 'pem'
      ? standIns.key(name)
      : standIns.of(name, type === 'host' ? (allowedSuffixes[0] ?? '.example.com') : '')
  return { text, members: new Map(inner.map((member) => [member, standIns.of(`${name}.${member}`)])) }
}
