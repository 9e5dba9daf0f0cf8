/** What an account says for the inputs of its provider's file: a field for each, and what was written into them. */
import { html, nothing, type TemplateResult } from 'lit'
import type { ModelConfigItem, ProviderInput } from '../../admin/config-answers.ts'
import { language } from '../settings.ts'
import { t } from '../texts.ts'
import { outwards } from './diagnosis.ts'
import { choice, option } from './field.ts'

/** As the API shows them: plain ones as they are, of secret ones that they are set. */
type Stored = NonNullable<ModelConfigItem['inputs']>

const PREFIX = 'input:'
/** Of a checkbox beside it. */
const UNSET = 'unset:'

/** @param stored of an account that is changed */
export function inputFields(inputs: readonly ProviderInput[], stored: Stored = {}): TemplateResult[] {
  return inputs.map((input) => {
    const isChinese = language() === 'zh'
    const help = (isChinese ? input.help_zh : null) ?? input.help
    return html`<div><label class="field">
        <span>${labelOf(input)}${input.required ? nothing : html` <small class="quiet">${t('optional')}</small>`}</span>
        ${control(input, stored[input.name])}</label>
      ${isRemovable(input, stored) ? choice(html`<input type="checkbox" name=${UNSET + input.name} />`, t('Remove it')) : nothing}
      ${input.file ? picker(input.file.accept) : nothing}
      ${help === null ? nothing : html`<p class="under quiet">${help}</p>`}
      ${input.help_url === null ? nothing : html`<p class="under">${outwards(input.help_url, t('Where to find it'))}</p>`}
      ${input.any_host ? html`<p class="note bad">${t('The credential goes to this host. Enter only one that you trust.')}</p>` : nothing}</div>`
  })
}

/** What is not shown cannot be emptied. */
function isRemovable({ name, required, has_default }: ProviderInput, stored: Stored): boolean {
  return typeof stored[name] === 'object' && (!required || has_default)
}

function control(input: ProviderInput, stored: Stored[string] | undefined): TemplateResult {
  const name = PREFIX + input.name
  const isRequired = input.required && !input.has_default && stored === undefined
  const text = typeof stored === 'string' ? stored : ''
  const hint =
    typeof stored === 'object' ? t('set; leave empty to keep it') : (input.example ?? input.default ?? '')
  if (input.choices) {
    const chosen = text || input.default
    const isOpen = chosen === null
    return html`<select name=${name} ?required=${isRequired}>${isOpen ? option('', '') : nothing}
      ${input.choices.map((one) => option(one, one, one === chosen))}</select>`
  }
  if (input.type === 'json' || input.type === 'pem')
    return html`<textarea name=${name} rows="4" ?required=${isRequired} .defaultValue=${text} placeholder=${hint} autocomplete="off" spellcheck="false"></textarea>`
  return html`<input name=${name} type=${input.secret ? 'password' : 'text'} ?required=${isRequired} .defaultValue=${text}
    placeholder=${hint} autocomplete="off" spellcheck="false" />`
}

/** Reads a file in the browser, into the field before it. */
function picker(accept: string | null): TemplateResult {
  const read = async ({ target }: Event) => {
    const chosen = target as HTMLInputElement
    const text = await chosen.files?.[0]?.text()
    const area = chosen.closest('div')?.querySelector('textarea')
    if (area && text !== undefined) area.value = text
  }
  return html`<p class="under"><label class="quiet">${t('or from a file')} <input type="file" accept=${accept ?? ''} @change=${read} /></label></p>`
}

/**
 * What is to be sent of a form with {@link inputFields}: of an account that is changed only what is another now, and
 * null for what was emptied or removed. A secret that is left empty stays.
 */
export function inputsIn(
  form: HTMLFormElement,
  inputs: readonly ProviderInput[],
  stored: Stored = {},
): Record<string, string | null> {
  const fields = new FormData(form)
  const said = inputs.flatMap(({ name }): [string, string | null][] => {
    const text = String(fields.get(PREFIX + name) ?? '').trim()
    const before = stored[name]
    if (fields.has(UNSET + name)) return [[name, null]]
    if (text === '') return typeof before === 'string' ? [[name, null]] : []
    return text === before ? [] : [[name, text]]
  })
  return Object.fromEntries(said)
}

/** What an account says, for its page: of a secret that it is set, and what tells it from another. */
export function inputFacts(
  inputs: readonly ProviderInput[],
  stored: Stored = {},
): [label: string, text: string][] {
  return Object.entries(stored).map(([name, value]) => {
    const input = inputs.find((one) => one.name === name)
    const text =
      typeof value === 'string' ? value : t('set ({fingerprint})', { fingerprint: value.fingerprint })
    return [input ? labelOf(input) : name, text]
  })
}

function labelOf({ label, label_zh }: ProviderInput): string {
  return language() === 'zh' ? label_zh : label
}
