/**
 * What every view has in common: it renders into the page itself (one style sheet for all), follows language and
 * live changes, and its numbers and times do not grow stale.
 */
import { LitElement } from 'lit'
import { onLive } from '../live.ts'
import { settings } from '../settings.ts'

const TICK_MS = 15_000

export abstract class View extends LitElement {
  readonly #stops: (() => void)[] = []

  override connectedCallback(): void {
    super.connectedCallback()
    const update = () => this.requestUpdate()
    settings.addEventListener('changed', update)
    const tick = setInterval(() => document.hidden || this.refresh(), TICK_MS)
    this.#stops.push(
      () => settings.removeEventListener('changed', update),
      () => clearInterval(tick),
      onLive(() => this.refresh()),
    )
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback()
    for (const stop of this.#stops.splice(0)) stop()
  }

  protected override createRenderRoot(): HTMLElement {
    return this
  }

  /** Something changed on the server, or may have. */
  protected refresh(): void {
    this.requestUpdate()
  }
}
