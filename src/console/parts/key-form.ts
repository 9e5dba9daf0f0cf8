/** `<key-form>`: who a new key is for and what it may do. */
import { html, nothing, type TemplateResult } from 'lit'
import { get } from '../api.ts'
import { t } from '../texts.ts'
import type { ModelConfig, Page } from '../types.ts'
import { Action } from './action.ts'
import { choice, field, option } from './field.ts'
import { Loader } from './loader.ts'
import { createKey } from './own-keys.ts'
import { DAY } from './time.ts'
import { View } from './view.ts'

const EXPIRIES = [0, 7, 30, 90, 365]
const SHOWN = 8

class KeyForm extends View {
  static override properties = { isScoped: { state: true } }
  declare protected isScoped: boolean
  #query = ''
  readonly #chosen = new Map<string, ModelConfig>()
  readonly #action = new Action(this)
  readonly #found = new Loader(this, () =>
    get<Page<ModelConfig>>(`/api/models/configs?page_size=${SHOWN}&q=${encodeURIComponent(this.#query)}`),
  )

  constructor() {
    super()
    this.isScoped = false
  }

  protected override firstUpdated(): void {
    this.querySelector<HTMLElement>('input')?.focus()
  }

  protected override render(): TemplateResult {
    return html`<form class="card form" @submit=${this.#submit}>
      <h2>${t('Create key')}</h2>
      ${this.#action.renderProblem()}
      <div class="columns">${this.#renderFields()}</div>
      <fieldset><legend>${t('Accounts')}</legend>
        ${choice(this.#scopeRadio(false), t('All, also those to come'))}
        ${choice(this.#scopeRadio(true), t('Only these'))}
        ${this.isScoped ? this.#renderConfigs() : nothing}
      </fieldset>
      <div class="actions"><button class="primary" aria-disabled=${this.#action.isBusy}>${t('Create key')}</button>
        <button type="button" @click=${() => this.dispatchEvent(new Event('cancelled'))}>${t('Cancel')}</button></div>
    </form>`
  }

  #renderFields(): TemplateResult {
    const name = html`<input name="name" required maxlength="255" autocomplete="off" placeholder=${t('e.g. the app that uses it')} />`
    const days = EXPIRIES.map((n) => option(n, n === 0 ? t('Never') : t('in {n} days', { n })))
    const models = html`<input name="models" placeholder=${t('any')} autocomplete="off" spellcheck="false" />`
    const rate = html`<input name="rate" type="number" min="1" max="1000000" placeholder=${t('no limit')} />`
    return html`${field(t('Name'), name)}
      ${field(t('Expires'), html`<select name="days">${days}</select>`)}
      ${field(t('Models'), models, t('separated by commas'))}
      ${field(t('Requests a minute'), rate)}`
  }

  #renderConfigs(): TemplateResult {
    const search = html`<input type="search" @input=${this.#find} autocomplete="off" />`
    return html`${field(t('Find by name'), search)}
      ${this.#found.render(({ items, total }) => {
        const others = [...this.#chosen.values()].filter(({ id }) => !items.some((item) => item.id === id))
        const more = total - items.length
        return html`<div class="choices-list">${[...others, ...items].map((config) => this.#renderConfig(config))}</div>
          ${more > 0 ? html`<p class="quiet">${t('{n} more; narrow the search', { n: more })}</p>` : nothing}`
      })}`
  }

  #renderConfig(config: ModelConfig): TemplateResult {
    const isChosen = this.#chosen.has(config.id)
    const box = html`<input type="checkbox" .checked=${isChosen} @change=${() => this.#toggle(config)} />`
    return choice(box, config.name, config.provider)
  }

  #scopeRadio(isScoped: boolean): TemplateResult {
    const isChosen = isScoped === this.isScoped
    return html`<input type="radio" name="scope" .checked=${isChosen} @change=${() => this.#scope(isScoped)} />`
  }

  #scope(isScoped: boolean): void {
    this.isScoped = isScoped
  }

  #toggle(config: ModelConfig): void {
    if (!this.#chosen.delete(config.id)) this.#chosen.set(config.id, config)
    this.requestUpdate()
  }

  readonly #find = (event: Event) => {
    this.#query = (event.target as HTMLInputElement).value.trim()
    void this.#found.load()
  }

  readonly #submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const fields = new FormData(event.target as HTMLFormElement)
    const [days, rate] = ['days', 'rate'].map((name) => Number(fields.get(name)))
    const models = String(fields.get('models'))
      .split(',')
      .map((model) => model.trim())
      .filter((model) => model !== '')
    if (this.isScoped && this.#chosen.size === 0) return this.#action.fail(t('Choose at least one account.'))
    const made = await this.#action.run(() =>
      createKey({
        name: String(fields.get('name')).trim(),
        ...(this.isScoped && { model_config_ids: [...this.#chosen.keys()] }),
        ...(models.length > 0 && { models }),
        ...(rate && { requests_per_minute: rate }),
        ...(days && { expires_at: Date.now() + days * DAY }),
      }),
    )
    if (!made) return
    const known = this.isScoped ? [...this.#chosen.values()] : (this.#found.value?.items ?? [])
    const model = models[0] ?? known.flatMap((config) => config.models)[0]?.model_id
    this.dispatchEvent(new CustomEvent('made', { detail: { ...made, model } }))
  }
}

customElements.define('key-form', KeyForm)
