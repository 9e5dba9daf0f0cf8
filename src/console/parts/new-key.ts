/** `<new-key>`: a key, shown this once, with what to paste where. */
import { html, nothing, type TemplateResult } from 'lit'
import { t } from '../texts.ts'
import './copy-button.ts'
import { icon } from './icons.ts'
import type { OwnKey } from './own-keys.ts'
import { snippetsFor } from './snippets.ts'
import { dateTime } from './time.ts'
import { View } from './view.ts'

class NewKey extends View {
  static override properties = { made: {}, until: {}, tab: { state: true } }
  declare made: OwnKey & { readonly model?: string }
  /** Epoch ms to which the key works whose place it takes; undefined: there is none. */
  declare until: number | undefined
  declare protected tab: number

  constructor() {
    super()
    this.tab = 0
  }

  protected override firstUpdated(): void {
    this.querySelector<HTMLElement>('h2')?.focus()
  }

  protected override render(): TemplateResult {
    const snippets = snippetsFor(this.made.key, this.made.model ?? 'MODEL')
    const chosen = snippets[this.tab]
    return html`<section class="card new-key">
      <h2 tabindex="-1">${icon('key')}${t('Your new key: {name}', { name: this.made.name })}</h2>
      <p>${t('Copy it now. It is stored as a digest only and cannot be shown again.')}</p>
      ${this.until === undefined ? nothing : html`<p>${t('The one before works until {time}.', { time: dateTime(this.until) })}</p>`}
      <div class="secret"><code>${this.made.key}</code><copy-button .text=${this.made.key} .label=${t('Copy the key')}></copy-button></div>
      <div role="tablist" aria-label=${t('How to use it')} @keydown=${this.#move}>${snippets.map(
        (
          { name },
          index,
        ) => html`<button role="tab" id="tab-${index}" aria-controls="snippet" aria-selected=${index === this.tab} tabindex=${index === this.tab ? 0 : -1}
          @click=${() => this.#open(index)}>${name}</button>`,
      )}</div>
      <div class="snippet" role="tabpanel" id="snippet" aria-labelledby="tab-${this.tab}">
        <pre tabindex="0">${chosen?.code}</pre><copy-button .text=${chosen?.code ?? ''} .label=${t('Copy the snippet')}></copy-button></div>
      <div class="actions"><button class="primary" @click=${() => this.dispatchEvent(new Event('done'))}>${t('I have copied it')}</button></div>
    </section>`
  }

  #open(index: number): void {
    this.tab = index
  }

  readonly #move = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0
    if (step === 0) return
    const tabs = this.querySelectorAll<HTMLElement>('[role=tab]')
    this.#open((this.tab + step + tabs.length) % tabs.length)
    tabs[this.tab]?.focus()
  }
}

customElements.define('new-key', NewKey)
