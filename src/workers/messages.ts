/**
 * What the primary and its workers say to each other, over the channel that only they share.
 */
import type { Provider } from '../base/provider.ts'
import type { Credential } from '../credential/credential.ts'
import type { Outcome } from '../credential/refresh-machine.ts'

export type FromWorker =
  | { ask: 'refresh'; id: number; configId: string; version: number; isForced: boolean }
  | { ask: 'metrics'; id: number }
  | { tell: 'ready'; address: string }
  /** The worker's own counters, asked for by the primary. */
  | { tell: 'counters'; id: number; counters: object[] }

export type ToWorker =
  | { answer: number; outcome: WireOutcome }
  | { answer: number; metrics: string }
  | { do: 'count'; id: number }
  | { do: 'drain' }
  | { do: 'stop'; graceMs: number }

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
