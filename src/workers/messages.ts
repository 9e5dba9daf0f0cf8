/**
 * What the primary and its workers say to each other, over the channel that only they share.
 */

import type { Credential } from '../credential/credential.ts'
import type { Subject } from '../credential/refresh.ts'
import type { Outcome } from '../credential/refresh-step.ts'
import { type Provider, withInputs } from '../provider/provider.ts'

export type FromWorker =
  | ({ ask: 'refresh'; id: number; how: HowToRefresh } & Subject)
  | { ask: 'metrics'; id: number }
  | { tell: 'ready'; address: string }
  | { tell: 'alive' }
  /** The worker's own counters, asked for by the primary. */
  | { tell: 'counters'; id: number; counters: object[] }

/** `due` or `forced`, as `Refresher.refresh` knows them, or only put right. */
export type HowToRefresh = 'due' | 'forced' | 'put right'

export type ToWorker =
  | { answer: number; outcome: WireOutcome }
  | { answer: number; metrics: string }
  | { do: 'count'; id: number }
  /** Whoever began has begun: answer calls. */
  | { do: 'open' }
  | { do: 'drain' }
  | { do: 'stop'; graceMs: number }

/** So often a worker says that it is alive. */
export const BEAT_MS = 500

/** A credential with what its config says in place of its provider, whose file every process has read itself. */
type WireCredential = Omit<Credential, 'provider'> & {
  readonly provider: string
  readonly given: Readonly<Record<string, string>>
}
export type WireOutcome =
  | { kind: 'renewed'; credential: WireCredential }
  | Exclude<Outcome, { kind: 'renewed' }>

export function toWire(outcome: Outcome): WireOutcome {
  if (outcome.kind !== 'renewed') return outcome
  const { credential } = outcome
  const { name, given } = credential.provider
  return {
    kind: 'renewed',
    credential: { ...credential, provider: name, given: Object.fromEntries(given) },
  }
}

export function fromWire(outcome: WireOutcome, providers: ReadonlyMap<string, Provider>): Outcome {
  if (outcome.kind !== 'renewed') return outcome
  const provider = providers.get(outcome.credential.provider)
  if (!provider) return { kind: 'unchanged', why: 'the provider file is gone', retryAt: undefined }
  const { given, ...credential } = outcome.credential
  const filled = withInputs(provider, new Map(Object.entries(given)))
  return { kind: 'renewed', credential: { ...credential, provider: filled } }
}
