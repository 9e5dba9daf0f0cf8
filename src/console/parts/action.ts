/**
 * Something a person asked for: busy while it runs, and what went wrong if it did.
 */
import { html, nothing, type ReactiveControllerHost, type TemplateResult } from 'lit'
import { ApiError } from '../api.ts'

export class Action {
  isBusy = false
  problem: string | undefined
  readonly #host: ReactiveControllerHost

  constructor(host: ReactiveControllerHost) {
    this.#host = host
  }

  /** One at a time; undefined if it failed or another is under way. */
  async run<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.isBusy) return undefined
    this.isBusy = true
    this.problem = undefined
    this.#host.requestUpdate()
    try {
      return await work()
    } catch (error) {
      this.problem = error instanceof ApiError ? error.message : String(error)
      return undefined
    } finally {
      this.isBusy = false
      this.#host.requestUpdate()
    }
  }

  fail(problem: string): void {
    this.problem = problem
    this.#host.requestUpdate()
  }

  renderProblem(): TemplateResult | typeof nothing {
    return this.problem === undefined ? nothing : html`<p class="note bad" role="alert">${this.problem}</p>`
  }
}
