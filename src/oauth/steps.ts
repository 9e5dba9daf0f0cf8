/**
 * Requests in a vendor's own words, step after step, within one time limit for all of them.
 */
import type { Dispatcher } from 'undici'
import { UnfitValue, type Value } from '../provider/placeholders.ts'
import type { Provider } from '../provider/provider.ts'
import type { TokenStep } from '../provider/token-request.ts'
import { METADATA_AGENT } from './metadata.ts'
import type { Renewal } from './refresh-token-grant.ts'
import { ask } from './request.ts'
import { judgeShared } from './shared-renewal.ts'
import { SourceTrouble } from './simple-sources.ts'
import { codeIn, readStep, type StepFound } from './step-answer.ts'
import { asValue, requestOf } from './step-request.ts'
import { signedStep } from './step-signature.ts'
import type { TokenSet } from './token-response.ts'
import { exchange, type WireAnswer } from './wire.ts'

/** For whom requests are made, and by which way. */
export interface Asking {
  readonly provider: Provider
  readonly dispatcher: Dispatcher
  readonly clock: () => number
}

/** @param before what the steps may name beside inputs; all of it is secret */
export async function askSteps(
  steps: readonly TokenStep[],
  { provider, dispatcher, clock }: Asking,
  before: ReadonlyMap<string, Value> = new Map(),
): Promise<Renewal> {
  const values = new Map<string, Value>([...provider.values, ...before])
  const secrets = secretsOf(provider, before)
  const { refused } = provider.errors
  const until = performance.now() + provider.refresh.timeoutMs
  let renewal: Renewal | undefined
  for (const step of steps) {
    let found: StepFound | undefined
    const answer = await send(step, values, { dispatcher, secrets, clock, until })
    renewal = judgeShared(answer, {
      refused,
      code: (said) => codeIn(said, step.response),
      tokens: (said) => {
        const read = readStep(said, step.response, clock())
        if (typeof read === 'string') return read
        found = read
        return tokensOf(read, clock())
      },
    })
    if (renewal.kind !== 'tokens' || !found) return renewal
    values.set(step.name, asValue(found.token, { ...found.kept, token: found.token }))
    secrets.push(found.token, ...Object.values(found.kept))
  }
  if (!renewal) throw new TypeError(`provider ${provider.name} has no token request`)
  return renewal
}

interface Sending extends Pick<Asking, 'dispatcher' | 'clock'> {
  readonly secrets: readonly string[]
  /** By `performance.now()`. */
  readonly until: number
}

async function send(
  step: TokenStep,
  values: ReadonlyMap<string, Value>,
  { dispatcher, secrets, clock, until }: Sending,
): Promise<WireAnswer> {
  const timeoutMs = until - performance.now()
  if (timeoutMs <= 0) return { kind: 'unclear', why: 'no time is left for the next step' }
  try {
    const plain = requestOf(step, values)
    const { url, ...request } = step.sign ? await signedStep(plain, step.sign, clock()) : plain
    const headers = { 'user-agent': 'token-broker', ...request.headers }
    const asked = (signal: AbortSignal, by: Dispatcher) => ask(by, url, { ...request, headers, signal })
    return await exchange(step.isMetadata ? METADATA_AGENT : dispatcher, timeoutMs, asked, secrets)
  } catch (error) {
    if (error instanceof SourceTrouble) return error.answer
    if (error instanceof UnfitValue)
      return { kind: 'unsent', why: `${error.input} ${error.message}`, isLasting: true }
    throw error
  }
}

function tokensOf({ token, expiresAt, resourceUrl }: StepFound, receivedAt: number): TokenSet {
  return {
    accessToken: token,
    refreshToken: undefined,
    tokenType: 'Bearer',
    scope: undefined,
    expiresAt,
    receivedAt,
    metadata: resourceUrl === undefined ? {} : { resource_url: resourceUrl },
  }
}

/** What a server may quote, and nobody is to see. */
function secretsOf({ inputs, values }: Provider, before: ReadonlyMap<string, Value>): string[] {
  const secret = inputs.filter(({ isSecret }) => isSecret).flatMap(({ name }) => values.get(name) ?? [])
  return [...secret, ...before.values()].flatMap(({ text, members }) => [text, ...members.values()])
}
