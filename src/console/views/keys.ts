/** Broker keys: make, see, revoke. */
import { html, nothing, type TemplateResult } from 'lit'
import { api, get } from '../api.ts'
import { Action } from '../parts/action.ts'
import '../parts/key-form.ts'
import '../parts/new-key.ts'
import { Confirmation } from '../parts/dialog.ts'
import { icon } from '../parts/icons.ts'
import { Loader } from '../parts/loader.ts'
import { forgetKey, type OwnKey } from '../parts/own-keys.ts'
import { paging } from '../parts/paging.ts'
import { count, date, relative } from '../parts/time.ts'
import { View } from '../parts/view.ts'
import { t } from '../texts.ts'
import type { ApiKey, ModelConfig, Page } from '../types.ts'

const PAGE_SIZE = 25

class KeysView extends View {
  static override properties = {
    isCreating: { state: true },
    made: { state: true },
    page: { state: true },
    leaving: { state: true },
  }
  declare protected isCreating: boolean
  declare protected made: (ApiKey & OwnKey) | undefined
  declare protected page: number
  declare protected leaving: ApiKey | undefined
  readonly #action = new Action(this)
  readonly #revocation = new Confirmation()
  readonly #keys = new Loader(this, async () =>
    (await get<{ items: ApiKey[] }>('/api/keys')).items.toReversed(),
  )
  readonly #names = new Loader(this, async () => {
    const { items } = await get<Page<ModelConfig>>('/api/models/configs?page_size=100')
    return new Map(items.map(({ id, name }) => [id, name]))
  })

  constructor() {
    super()
    this.isCreating = false
    this.page = 1
  }

  protected override refresh(): void {
    void this.#keys.load()
    void this.#names.load()
  }

  protected override render(): TemplateResult {
    return html`
      <div class="heading"><h1 tabindex="-1">${t('Keys')}</h1>
        ${this.isCreating ? nothing : html`<button class="primary" @click=${this.#open}>${icon('plus')}${t('Create key')}</button>`}</div>
      ${this.made ? html`<new-key .made=${this.made} @done=${() => this.#close()}></new-key>` : nothing}
      ${this.isCreating ? html`<key-form @cancelled=${() => this.#close()} @made=${this.#show}></key-form>` : nothing}
      ${this.#action.renderProblem()}
      ${this.#keys.render((keys) => (keys.length === 0 ? this.#renderNone() : this.#renderKeys(keys)), 6)}
      ${this.#revocation.render(
        t('Revoke {name}?', { name: this.leaving?.name ?? '' }),
        t('Apps that use this key are refused within seconds. This cannot be undone.'),
        t('Revoke'),
      )}`
  }

  #renderNone(): TemplateResult {
    if (this.isCreating) return html``
    return html`<section class="card empty">${icon('key')}<h2>${t('No keys yet')}</h2>
      <p>${t('Every app gets a key of its own, for the accounts and models you choose.')}</p></section>`
  }

  #renderKeys(keys: readonly ApiKey[]): TemplateResult {
    const shown = keys.slice((this.page - 1) * PAGE_SIZE, this.page * PAGE_SIZE)
    return html`<section class="card"><ul class="rows keys">${shown.map((key) => this.#renderKey(key))}</ul>
      ${paging(this.page, PAGE_SIZE, keys.length, (page) => {
        this.page = page
      })}</section>`
  }

  #renderKey(key: ApiKey): TemplateResult {
    const isOver = key.expires_at !== null && key.expires_at <= Date.now()
    const limits = [
      this.#scopeOf(key),
      ...(key.models ? [key.models.join(', ')] : []),
      ...(key.requests_per_minute === null ? [] : [t('{n} a minute', { n: count(key.requests_per_minute) })]),
    ]
    return html`<li><span class="who"><strong>${key.name}</strong><code>${key.prefix}…</code></span>
      <span class="quiet wrap">${limits.join(' · ')}</span>
      <span class="quiet">${t('Created {time}', { time: date(key.created_at) })}${
        key.expires_at === null
          ? ''
          : ` · ${t(isOver ? 'Expired {time}' : 'Expires {time}', { time: relative(key.expires_at) })}`
      }</span>
      <button class="small" aria-label="${t('Revoke')}: ${key.name}" @click=${() => void this.#revoke(key)}>${t('Revoke')}</button></li>`
  }

  #scopeOf({ model_config_ids: ids }: ApiKey): string {
    if (ids === null) return t('All accounts')
    const names = ids.map((id) => this.#names.value?.get(id))
    return names.length <= 3 && names.every((name) => name !== undefined)
      ? names.join(', ')
      : t('{n} accounts', { n: ids.length })
  }

  readonly #open = () => {
    this.made = undefined
    this.isCreating = true
  }

  readonly #show = ({ detail }: CustomEvent<ApiKey & OwnKey>) => {
    this.isCreating = false
    this.made = detail
    this.refresh()
  }

  #close(): void {
    this.isCreating = false
    this.made = undefined
    void this.updateComplete.then(() => this.querySelector<HTMLElement>('h1')?.focus())
  }

  async #revoke(key: ApiKey): Promise<void> {
    this.leaving = key
    await this.updateComplete
    if (!(await this.#revocation.ask())) return
    await this.#action.run(() => api('DELETE', `/api/keys/${key.id}`))
    forgetKey(key.id)
    if (this.made?.id === key.id) this.made = undefined
    this.refresh()
  }
}

customElements.define('view-keys', KeysView)
