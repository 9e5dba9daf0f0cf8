/** `<copy-button .text=${…}>`: copies, and says so. */
import { html, type TemplateResult } from 'lit'
import { t } from '../texts.ts'
import { View } from './view.ts'

const SAID_MS = 2_000

class CopyButton extends View {
  static override properties = { text: {}, label: {}, hasCopied: { state: true } }
  declare text: string
  declare label: string
  declare protected hasCopied: boolean

  protected override render(): TemplateResult {
    return html`<button type="button" class="small" aria-label=${this.label} @click=${this.#copy}>${t(this.hasCopied ? 'Copied' : 'Copy')}</button>
      <span class="visually-hidden" role="status">${this.hasCopied ? t('Copied') : ''}</span>`
  }

  readonly #copy = async () => {
    try {
      await navigator.clipboard.writeText(this.text)
    } catch {
      copyBySelection(this.text)
    }
    this.hasCopied = true
    setTimeout(() => {
      this.hasCopied = false
    }, SAID_MS)
  }
}

/** There is no clipboard outside https and localhost. */
function copyBySelection(text: string): void {
  const field = document.createElement('textarea')
  field.value = text
  field.className = 'visually-hidden'
  document.body.append(field)
  field.select()
  document.execCommand('copy')
  field.remove()
}

customElements.define('copy-button', CopyButton)
