/**
 * What the primary and its workers say to each other, over the channel that only they share.
 */

import type { Credential } from '../credential/credential.ts'
import type { Subject } from '../credential/refresh.ts'
import type { Outcome } from '../credential/refresh-step.ts'
import type { Provider } from '../provider/provider.ts'

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

/** A credential without its provider's file, which every process has read itself. */
type WireCredential = Omit<Credential, 'provider'> & { readonly provider: string }
export type WireOutcome =
  | { kind: 'renewed'; credential: WireCredential }
  | Exclude<Outcome, { kind: 'renewed' }>

export function toWire(outcome: Outcome): WireOutcome {
  if (outcome.kind !== 'renewed') return outcome
  const { credential } = outcome
  return { kind: 'renewed', credential: { ...credential, provider: credential.provider.name } }
}

export function fromWire(outcome: WireOutcome, providers: ReadonlyMap<string, Provider>): Outcome {
  if (outcome.kind !== 'renewed') return outcome
  const provider = providers.get(outcome.credential.provider)
  if (!provider) return { kind: 'unchanged', why: 'the provider file is gone', retryAt: undefined }
  return { kind: 'renewed', credential: { ...outcome.credential, provider } }
}
