import { BoundedMap } from '../base/bounded-map.ts'
import type { CredentialState } from './credential.ts'

/** Leases whose claims were never answered, remembered at most. */
const MAX_UNSENT = 1_000

/** Attempts of this process that asked for a lease and sent nothing under it, and what their rows were before. */
export class UnsentAttempts {
  readonly #states = new BoundedMap<CredentialState>(MAX_UNSENT)

  /** Before the lease is asked for: from now on it may be ours, whether we are told so or not. */
  add(attemptId: string, state: CredentialState): void {
    this.#states.set(attemptId, state)
  }

  /** Something was sent under it, or it is certain that no lease is left. */
  delete(attemptId: string): void {
    this.#states.delete(attemptId)
  }

  stateBefore(attemptId: string | undefined): CredentialState | undefined {
    return attemptId === undefined ? undefined : this.#states.get(attemptId)
  }
}
