/**
 * One question to a service that gives out AWS keys, and what can be read in its answer.
 */
import { type Dispatcher, request } from 'undici'
import type { AwsKeys } from '../base/aws-signature.ts'
import { systemClock } from '../base/clock.ts'
import { clockSkew, skewNote } from '../base/clock-skew.ts'
import { reasonOf } from '../base/failure.ts'
import { withoutQuoted } from '../base/quoted.ts'

/** Keys, and when they end; undefined: nobody says. */
export interface FetchedKeys extends AwsKeys {
  /** Epoch ms. */
  readonly expiresAt: number | undefined
}

/** Why there are no keys. Never a secret. */
export class NoKeys extends Error {
  override readonly name = 'NoKeys'
  /** Only a person can mend it; else it may be better in a moment. */
  readonly isRefusal: boolean

  constructor(message: string, isRefusal: boolean) {
    super(message)
    this.isRefusal = isRefusal
  }
}

export interface AwsQuestion {
  readonly url: string
  readonly method: 'GET' | 'PUT' | 'POST'
  readonly headers: string[]
  readonly body: Buffer | null
}

const MAX_ANSWER_BYTES = 64 * 1024
/** Nothing is wrong with what was asked. */
const TEMPORARY: ReadonlySet<number> = new Set([408, 429])
/** Of AWS's errors with these statuses: it is too busy. */
const BUSY = /Throttl|RequestLimitExceeded|SlowDown|IDPCommunicationError/

/** A body of any 2xx. Redirects are not followed. @param who for the error. @throws NoKeys */
export async function askAws(
  who: string,
  { url, method, headers, body }: AwsQuestion,
  dispatcher: Dispatcher,
  timeoutMs: number,
): Promise<string> {
  let status: number
  let text: string
  let skew: number | undefined
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    const answer = await request(url, { method, headers, body, dispatcher, signal })
    status = answer.statusCode
    skew = clockSkew(String(answer.headers['date'] ?? ''), systemClock())
    text = await beginningOf(answer.body)
  } catch (error) {
    throw new NoKeys(`${who} cannot be reached (${reasonOf(error, timeoutMs)})`, false)
  }
  if (status >= 200 && status < 300) return text
  const code = codeIn(text)
  const isRefusal = status >= 400 && status < 500 && !TEMPORARY.has(status) && !BUSY.test(code ?? '')
  const note = skew === undefined ? undefined : skewNote(skew)
  const said = messageIn(text, [...headers, tokenIn(body)])
  const why = [`${who}: status ${status}`, code, note, said].filter(Boolean).join(' ')
  throw new NoKeys(why, isRefusal)
}

/** What AWS adds for a person. @param sent what it may quote of the question */
function messageIn(text: string, sent: readonly (string | undefined)[]): string | undefined {
  const said = /<Message>([^<]{1,1000})<\/Message>|"[Mm]essage"\s*:\s*"([^"\\]{1,1000})"/
    .exec(text)
    ?.slice(1)
    .find(Boolean)
  return said && withoutQuoted(said, sent).slice(0, 200)
}

function tokenIn(body: Buffer | null): string | undefined {
  return new URLSearchParams(body?.toString()).get('WebIdentityToken') ?? undefined
}

async function beginningOf(body: Dispatcher.ResponseData['body']): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    chunks.push(chunk)
    size += chunk.length
    if (size > MAX_ANSWER_BYTES) break // which destroys the stream
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The error's name: `<Code>` of XML, `code` or `Code` of JSON. */
function codeIn(text: string): string | undefined {
  return /<Code>([\w.-]{1,100})<\/Code>|"[Cc]ode"\s*:\s*"([\w.-]{1,100})"/.exec(text)?.slice(1).find(Boolean)
}

/** `{AccessKeyId, SecretAccessKey, Token, Expiration}`. @throws NoKeys */
export function keysInJson(who: string, text: string): FetchedKeys {
  let answer: Readonly<Record<string, unknown>>
  try {
    answer = JSON.parse(text) ?? {}
  } catch {
    throw new NoKeys(`${who} did not answer in JSON`, false)
  }
  return keysOf(who, (name) => answer[name === 'SessionToken' ? 'Token' : name])
}

/** STS's answer, in which four elements are ours. @throws NoKeys */
export function keysInXml(who: string, text: string): FetchedKeys {
  return keysOf(who, (name) => {
    const value = new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1]
    return value?.replace(/&(amp|lt|gt|quot|apos);/g, (_, entity: string) => ENTITIES[entity] ?? '')
  })
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
const VISIBLE = /^[\x21-\x7e]{1,32768}$/

function keysOf(who: string, read: (name: string) => unknown): FetchedKeys {
  const names = ['AccessKeyId', 'SecretAccessKey', 'SessionToken'] as const
  const [accessKeyId, secretAccessKey, sessionToken] = names.map((name) => {
    const value = read(name)
    return typeof value === 'string' && VISIBLE.test(value) ? value : undefined
  })
  const expiresAt = Date.parse(String(read('Expiration')))
  if (!accessKeyId || !secretAccessKey || !sessionToken || Number.isNaN(expiresAt))
    throw new NoKeys(`${who} answered without keys`, false)
  return { accessKeyId, secretAccessKey, sessionToken, expiresAt }
}
