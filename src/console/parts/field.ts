/** Form fields: a control below its label, a choice beside it. */
import { html, nothing, type TemplateResult } from 'lit'

/** @param hint what may or may not be entered */
export function field(label: string, control: TemplateResult, hint = ''): TemplateResult {
  return html`<label class="field">
    <span>${label}${hint ? html` <small class="quiet">${hint}</small>` : nothing}</span>${control}</label>`
}

/** @param more a quieter word at the end of the line */
export function choice(control: TemplateResult, label: string, more = ''): TemplateResult {
  return html`<label class="choice">${control}${label}${more ? html`<span class="quiet">${more}</span>` : nothing}</label>`
}

export function option(value: string | number, text: string, isChosen = false): TemplateResult {
  return html`<option value=${value} ?selected=${isChosen}>${text}</option>`
}

/** A field whose content is nobody else's business. */
export function secret(name: string, placeholder = ''): TemplateResult {
  return html`<input name=${name} type="password" required autocomplete="off" spellcheck="false" placeholder=${placeholder} />`
}
