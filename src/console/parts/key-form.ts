/** `<key-form>`: who a key is for and what it may do; a new one, or `edited`. Tells `made`, `changed` or `cancelled`. */
import { html, nothing, type TemplateResult } from 'lit'
import type { ApiKeyItem } from '../../admin/answers.ts'
import type { ModelConfigItem, ModelConfigPage } from '../../admin/config-answers.ts'
import { ApiError, api, get } from '../api.ts'
import { t } from '../texts.ts'
import { Action } from './action.ts'
import { choice, field, option } from './field.ts'
import { Loader } from './loader.ts'
import { modelsOf } from './models-text.ts'
import { createKey } from './own-keys.ts'
import { DAY, dateTime } from './time.ts'
import { View } from './view.ts'

const EXPIRIES = [0, 7, 30, 90, 365]
const SHOWN = 8
/** Of the accounts of a key, beyond which ids must do. */
const MAX_NAMED = 50
/** In the place of a number of days: the end stays what it is. */
const AS_IT_IS = -1

/** An account as far as the list of choices shows it. */
type Choosable = Pick<ModelConfigItem, 'id' | 'name' | 'provider' | 'models'>

class KeyForm extends View {
  static override properties = { edited: {}, isScoped: { state: true } }
  declare edited: ApiKeyItem | undefined
  declare protected isScoped: boolean
  #query = ''
  readonly #chosen = new Map<string, Choosable>()
  readonly #action = new Action(this)
  readonly #found = new Loader(this, () =>
    get<ModelConfigPage>(`/api/models/configs?page_size=${SHOWN}&q=${encodeURIComponent(this.#query)}`),
  )

  constructor() {
    super()
    this.isScoped = false
  }

  protected override firstUpdated(): void {
    const ids = this.edited?.model_config_ids ?? null
    if (ids) void this.#choose(ids)
    this.querySelector<HTMLElement>('input')?.focus()
  }

  /** By their names, but for those that are gone since. */
  async #choose(ids: readonly string[]): Promise<void> {
    this.isScoped = true
    for (const id of ids) this.#chosen.set(id, { id, name: id, provider: '', models: [] })
    await Promise.all(
      ids.slice(0, MAX_NAMED).map(async (id) => {
        try {
          this.#chosen.set(id, await get<ModelConfigItem>(`/api/models/configs/${id}`))
        } catch (error) {
          if (error instanceof ApiError && error.status === 404) this.#chosen.delete(id)
        }
      }),
    )
    this.requestUpdate()
  }

  protected override render(): TemplateResult {
    const does = t(this.edited ? 'Save' : 'Create key')
    return html`<form class="card form" @submit=${this.#submit}>
      <h2>${this.edited ? t('Change key') : t('Create key')}</h2>
      ${this.#action.renderProblem()}
      <div class="columns">${this.#renderFields()}</div>
      <fieldset><legend>${t('Accounts')}</legend>
        ${choice(this.#scopeRadio(false), t('All, also those to come'))}
        ${choice(this.#scopeRadio(true), t('Only these'))}
        ${this.isScoped ? this.#renderConfigs() : nothing}
      </fieldset>
      <div class="actions"><button class="primary" aria-disabled=${this.#action.isBusy}>${does}</button>
        <button type="button" @click=${() => this.dispatchEvent(new Event('cancelled'))}>${t('Cancel')}</button></div>
    </form>`
  }

  #renderFields(): TemplateResult {
    const { edited } = this
    const end = edited?.expires_at ?? null
    const asItIs = end === null ? nothing : option(AS_IT_IS, dateTime(end), true)
    const name = html`<input name="name" required maxlength="255" autocomplete="off" .defaultValue=${edited?.name ?? ''} placeholder=${t('e.g. the app that uses it')} />`
    const days = EXPIRIES.map((n) => option(n, n === 0 ? t('Never') : t('in {n} days', { n })))
    const models = html`<input name="models" .defaultValue=${edited?.models?.join(', ') ?? ''} placeholder=${t('any')} autocomplete="off" spellcheck="false" />`
    const rate = html`<input name="rate" type="number" min="1" max="1000000" .defaultValue=${String(edited?.requests_per_minute ?? '')} placeholder=${t('no limit')} />`
    return html`${field(t('Name'), name)}
      ${field(t('Expires'), html`<select name="days">${asItIs}${days}</select>`)}
      ${field(t('Models'), models, t('separated by commas'))}
      ${field(t('Requests a minute'), rate)}`
  }

  #renderConfigs(): TemplateResult {
    const search = html`<input type="search" @input=${this.#find} autocomplete="off" />`
    return html`${field(t('Find an account by name'), search)}
      ${this.#found.render(({ items, total }) => {
        const others = [...this.#chosen.values()].filter(({ id }) => !items.some((item) => item.id === id))
        const more = total - items.length
        return html`<div class="choices-list">${[...others, ...items].map((config) => this.#renderConfig(config))}</div>
          ${more > 0 ? html`<p class="quiet">${t('{n} more; narrow the search', { n: more })}</p>` : nothing}`
      })}`
  }

  #renderConfig(config: Choosable): TemplateResult {
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

  #toggle(config: Choosable): void {
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
    if (this.isScoped && this.#chosen.size === 0) return this.#action.fail(t('Choose at least one account.'))
    const { edited } = this
    const wanted = this.#wanted(fields)
    if (!edited) return this.#create(wanted)
    const changed = await this.#action.run(() => api<ApiKeyItem>('PATCH', `/api/keys/${edited.id}`, wanted))
    if (changed) this.dispatchEvent(new Event('changed'))
  }

  #wanted(fields: FormData): WantedKey {
    const models = modelsOf(String(fields.get('models')))
    const [days, rate] = ['days', 'rate'].map((name) => Number(fields.get(name))) as [number, number]
    return {
      name: String(fields.get('name')).trim(),
      model_config_ids: this.isScoped ? [...this.#chosen.keys()] : null,
      models: models.length > 0 ? models : null,
      requests_per_minute: rate || null,
      ...(days !== AS_IT_IS && { expires_at: days === 0 ? null : Date.now() + days * DAY }),
    }
  }

  async #create(wanted: WantedKey): Promise<void> {
    const made = await this.#action.run(() => createKey(wanted))
    if (!made) return
    const known = this.isScoped ? [...this.#chosen.values()] : (this.#found.value?.items ?? [])
    const model = made.models?.[0] ?? known.flatMap((config) => config.models)[0]?.model_id
    this.dispatchEvent(new CustomEvent('made', { detail: { ...made, model } }))
  }
}

interface WantedKey {
  readonly [field: string]: unknown
  readonly name: string
}

customElements.define('key-form', KeyForm)
