/**
 * Token requests in a vendor's own words: one to three steps, each of which reads what the ones before it brought.
 */
import type { SigningPlace } from '../base/aws-signature.ts'
import { SECOND } from '../base/clock.ts'
import type { Fields } from './fields.ts'
import { metadataAddress } from './metadata-source.ts'
import type { Template } from './placeholders.ts'
import { assertFree } from './provider-headers.ts'
import { ProviderMistake } from './provider-mistake.ts'
import { type SimpleSource, toSimpleSource } from './simple-source.ts'
import type { TokenStepFile } from './token-request-file.ts'
import type { Address } from './upstream-address.ts'

/** Filled for each request, for that may name what is known only then. */
export type Filled = readonly (readonly [name: string, value: Template])[]
export type JsonTemplate =
  | Template
  | { readonly members: readonly (readonly [string, JsonTemplate])[] }
  | { readonly items: readonly JsonTemplate[] }
  | { readonly value: number | boolean | null }

export interface TokenStep {
  /** What later ones know it by. */
  readonly name: string
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly url: string
  /** Of the machine's metadata service: asked by no proxy. */
  readonly isMetadata: boolean
  readonly query: Filled
  readonly headers: Filled
  readonly basic: { readonly user: Template; readonly password: Template } | undefined
  readonly form: Filled | undefined
  readonly json: JsonTemplate | undefined
  readonly sign: StepSigning | undefined
  readonly response: StepAnswer
}

export interface StepSigning extends Required<SigningPlace> {
  readonly accessKey: SimpleSource
  readonly secretKey: SimpleSource
}

type ResponseFile = TokenStepFile['response']

export interface StepAnswer {
  readonly token: ResponseFile['token']
  readonly expires: ResponseFile['expires'] | undefined
  /** Where an error's code stands. */
  readonly error: string | undefined
  /** Undefined: the token's own word counts, if it is a JWT. */
  readonly lifetimeMs: number | undefined
  readonly resourceUrl: string | undefined
  readonly keep: Readonly<Record<string, string>>
}

/** What a template may name beside inputs and earlier steps: the token that a file or another program gives… */
export const SUBJECT = 'subject_token'
/** …and, as `{login.token}`, that of a person's login. */
export const LOGIN = 'login'

interface Reading {
  readonly address: Address
  readonly fields: Fields
}

/** Names beside inputs, each with its members. */
type Known = ReadonlyMap<string, ReadonlySet<string>>

/**
 * @param before what there is before the first step, by name and with its members
 * @throws ProviderMistake | UnfitValue
 */
export function toTokenRequest(
  steps: readonly TokenStepFile[],
  reading: Reading,
  before: Iterable<readonly [string, ReadonlySet<string>]>,
  ...path: string[]
): readonly TokenStep[] {
  const known = new Map(before)
  return steps.map((step, index) => {
    const read = toStep(step, reading, known, [...path, String(index)])
    known.set(read.name, new Set(['token', ...Object.keys(read.response.keep)]))
    return read
  })
}

function toStep(
  step: TokenStepFile,
  { address, fields }: Reading,
  known: Known,
  path: readonly string[],
): TokenStep {
  const { response, basic } = step
  const name = step.name ?? `step${path.at(-1)}`
  if (known.has(name)) throw new ProviderMistake([...path, 'name'], 'is taken by another')
  if (step.form && step.json) throw new ProviderMistake([...path, 'json'], 'excludes form')
  const method = step.method ?? 'POST'
  const own = metadataAddress(step.url, false)
  if (method === 'GET' && (step.form || step.json))
    throw new ProviderMistake([...path, 'method'], 'GET has neither form nor json')
  const headers = Object.keys(step.headers ?? {})
  if (step.sign && (basic || headers.some((header) => header.toLowerCase() === 'authorization')))
    throw new ProviderMistake([...path, 'sign'], 'is the authorization; there is another')
  for (const header of headers)
    if (header.toLowerCase() !== 'authorization') assertFree(header, [...path, 'headers', header])
  for (const [one, text] of Object.entries(step.query ?? {})) fields.open(text, ...path, 'query', one)
  const late = (text: string, ...at: string[]) => fields.late(text, known, ...path, ...at)
  const all = (given: Readonly<Record<string, string>> = {}, at: string, read = late) =>
    Object.entries(given).map(([one, text]): [string, Template] => [one, read(text, at, one)])
  // Tokens, and whatever else steps bring, are secret.
  const open = (text: string, ...at: string[]) => fields.late(text, new Map(), ...path, ...at)
  return {
    name,
    method,
    url: own ?? address(step.url, ...path, 'url') ?? '',
    isMetadata: own !== undefined,
    query: all(step.query, 'query', open),
    headers: all(step.headers, 'headers'),
    basic: basic && { user: late(basic.user, 'basic'), password: late(basic.password, 'basic') },
    form: step.form && all(step.form, 'form'),
    json: step.json && toJson(step.json, (text) => late(text, 'json')),
    sign: step.sign && toSigning(step.sign, fields, [...path, 'sign']),
    response: {
      token: response.token,
      expires: response.expires,
      error: response.error,
      lifetimeMs: response.lifetime_seconds && response.lifetime_seconds * SECOND,
      resourceUrl: response.resource_url,
      keep: response.keep ?? {},
    },
  }
}

function toSigning(
  { dialect, region, service, access_key, secret_key }: NonNullable<TokenStepFile['sign']>,
  fields: Fields,
  path: readonly string[],
): StepSigning {
  return {
    dialect,
    // Visible ASCII, for it stands in a header.
    region: fields.header(region, ...path, 'region') ?? '',
    service,
    accessKey: toSimpleSource(access_key, fields, ...path, 'access_key'),
    secretKey: toSimpleSource(secret_key, fields, ...path, 'secret_key'),
  }
}

function toJson(value: unknown, late: (text: string) => Template): JsonTemplate {
  if (typeof value === 'string') return late(value)
  if (Array.isArray(value)) return { items: value.map((item) => toJson(item, late)) }
  if (typeof value !== 'object' || value === null) return { value: value as number | boolean | null }
  return { members: Object.entries(value).map(([name, member]) => [name, toJson(member, late)]) }
}
