/**
 * Something that is fetched: its state for rendering, and what it looks like while there is nothing to show.
 *
 * A reload keeps what is there until the new answer comes, so that a page never flickers.
 */
import { html, type ReactiveController, type ReactiveControllerHost, type TemplateResult } from 'lit'
import { ApiError } from '../api.ts'
import { t } from '../texts.ts'

export class Loader<T> implements ReactiveController {
  value: T | undefined
  error: ApiError | undefined
  readonly #host: ReactiveControllerHost
  readonly #fetch: () => Promise<T>
  #turn = 0
  #isLoading = false
  #isStale = false
  #done = Promise.resolve()

  constructor(host: ReactiveControllerHost, fetch: () => Promise<T>) {
    this.#host = host
    this.#fetch = fetch
    host.addController(this)
  }

  hostConnected(): void {
    void this.load()
  }

  /** When what is under way has come, or failed. */
  get done(): Promise<void> {
    return this.#done
  }

  /** Of several that are under way the last one counts. */
  load(): Promise<void> {
    this.#done = this.#load()
    return this.#done
  }

  async #load(): Promise<void> {
    this.#turn += 1
    this.#isLoading = true
    this.#isStale = false
    const turn = this.#turn
    const [outcome] = await Promise.allSettled([this.#fetch()])
    if (turn !== this.#turn) return
    this.#isLoading = false
    this.#take(outcome)
    if (this.#isStale) void this.load()
  }

  /** What it is of may have changed: what is under way is shown all the same, and then asked for once more. */
  reload(): void {
    if (this.#isLoading) this.#isStale = true
    else void this.load()
  }

  #take(outcome: PromiseSettledResult<T>): void {
    if (outcome.status === 'fulfilled') {
      this.value = outcome.value
      this.error = undefined
    } else {
      const { reason } = outcome
      this.error = reason instanceof ApiError ? reason : new ApiError('unknown', 0, String(reason))
    }
    this.#host.requestUpdate()
  }

  /** @param lines how much room to hold while there is nothing yet */
  render(show: (value: T) => TemplateResult, lines = 4): TemplateResult {
    if (this.value !== undefined && !(this.error && this.error.status === 404)) {
      return html`${this.error ? this.#problem(this.error) : ''}${show(this.value)}`
    }
    if (this.error) return this.#problem(this.error)
    return html`<div class="skeleton" role="status" aria-label=${t('Loading')}>
      ${Array.from({ length: lines }, () => html`<span></span>`)}
    </div>`
  }

  #problem(error: ApiError): TemplateResult {
    return html`<div class="note bad" role="alert">
      <p>${error.message}</p>
      <button class="small" @click=${() => void this.load()}>${t('Try again')}</button>
    </div>`
  }
}
