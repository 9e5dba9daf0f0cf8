/** Asks before something that cannot be undone; the browser's own modal dialog does the rest. */
import { html, nothing, type TemplateResult } from 'lit'
import { createRef, ref } from 'lit/directives/ref.js'
import { t } from '../texts.ts'

let dialogs = 0

export class Confirmation {
  readonly #titleId = `dialog-title-${++dialogs}`
  readonly #dialog = createRef<HTMLDialogElement>()

  /** True if the person agreed. */
  ask(): Promise<boolean> {
    const dialog = this.#dialog.value
    if (!dialog) return Promise.resolve(false)
    dialog.returnValue = ''
    dialog.showModal()
    return new Promise((resolve) => {
      dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true })
    })
  }

  /** @param more to be chosen before */
  render(title: string, text: string, yes: string, more?: TemplateResult): TemplateResult {
    return html`<dialog ${ref(this.#dialog)} aria-labelledby=${this.#titleId}>
      <form method="dialog">
        <h2 id=${this.#titleId}>${title}</h2><p>${text}</p>${more ?? nothing}
        <div class="actions"><button value="no" autofocus>${t('Cancel')}</button><button value="yes" class="danger">${yes}</button></div>
      </form></dialog>`
  }
}
