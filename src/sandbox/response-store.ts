/**
 * Responses that are kept, so that others may go on from them, and those that are made while nobody waits.
 */
import { BoundedMap } from '../base/bounded-map.ts'
import { ApiError } from './api-error.ts'
import { BackgroundRun } from './background-run.ts'
import { type Exchange, exchange, type ResponseRequest } from './responses.ts'

const MAX_RESPONSES = 200
/** Each holds all that was said before it: of one that is longer none is kept. */
const MAX_KEPT_BYTES = 256 * 1024

export interface Kept extends Exchange {
  /** Of what was said so far. */
  readonly bytes: number
  /** Of one in the background. */
  readonly run: BackgroundRun | undefined
}

export class ResponseStore {
  readonly #kept = new BoundedMap<Kept>(MAX_RESPONSES)
  readonly #created: () => number

  constructor(created: () => number) {
    this.#created = created
  }

  /**
   * @param bytes of the request
   * @param known more that it may go on from
   * @throws ApiError previous_response_not_found | invalid_body
   */
  make(call: ResponseRequest, bytes: number, known?: (id: string) => Kept | undefined): Kept {
    const stores = call.store ?? true
    if (call.background && !stores)
      throw new ApiError('invalid_body', 'background', 'what is made in the background has to be stored')
    const previousId = call.previous_response_id ?? undefined
    const previous =
      previousId === undefined ? undefined : (known?.(previousId) ?? this.#kept.get(previousId))
    if (previousId !== undefined && !previous)
      throw new ApiError('previous_response_not_found', 'previous_response_id')
    const made = exchange(call, this.#created(), previous)
    const run = call.background ? new BackgroundRun(made.response) : undefined
    const kept = { ...made, bytes: (previous?.bytes ?? 0) + bytes, run }
    if (stores && kept.bytes <= MAX_KEPT_BYTES) this.#kept.set(made.response.id, kept)
    return kept
  }

  /** @throws ApiError not_found */
  get(id: string): Kept {
    const found = this.#kept.get(id)
    if (!found) throw new ApiError('not_found', 'id')
    return found
  }

  /** @throws ApiError not_found | not_in_background */
  run(id: string): BackgroundRun {
    const { run } = this.get(id)
    if (!run) throw new ApiError('not_in_background')
    return run
  }

  delete(id: string): void {
    this.#kept.delete(id)
  }
}
