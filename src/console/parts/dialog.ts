/** Asks before something that cannot be undone; the browser's own modal dialog does the rest. */
import { html, type TemplateResult } from 'lit'
import { createRef, ref } from 'lit/directives/ref.js'
import { t } from '../texts.ts'

export class Confirmation {
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

  render(title: string, text: string, yes: string): TemplateResult {
    return html`<dialog ${ref(this.#dialog)} aria-labelledby="dialog-title">
      <form method="dialog">
        <h2 id="dialog-title">${title}</h2><p>${text}</p>
        <div class="actions"><button value="no" autofocus>${t('Cancel')}</button><button value="yes" class="danger">${yes}</button></div>
      </form></dialog>`
  }
}
