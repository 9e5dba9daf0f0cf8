/** Broker keys: make, see, change, rotate, revoke. */
import { html, nothing, type TemplateResult } from 'lit'
import { keyed } from 'lit/directives/keyed.js'
import { api, get } from '../api.ts'
import { Action } from '../parts/action.ts'
import '../parts/key-form.ts'
import '../parts/new-key.ts'
import type { ApiKeyItem, ApiKeyList, NewApiKey } from '../../admin/answers.ts'
import type { ModelConfigPage } from '../../admin/config-answers.ts'
import { Confirmation } from '../parts/dialog.ts'
import { field, option } from '../parts/field.ts'
import { icon } from '../parts/icons.ts'
import { forgetKey, rotateKey } from '../parts/own-keys.ts'
import { PagedList } from '../parts/paged-list.ts'
import { count, date, relative } from '../parts/time.ts'
import { View } from '../parts/view.ts'
import { type Text, t } from '../texts.ts'

/** A key over more accounts says how many they are. */
const MAX_NAMED = 3
const DAY_SECONDS = 86_400
/** For how many seconds. */
const OVERLAPS: readonly (readonly [number, Text])[] = [
  [0, 'not at all'],
  [3_600, 'an hour'],
  [DAY_SECONDS, 'a day'],
  [7 * DAY_SECONDS, 'a week'],
]

interface KeyPage extends ApiKeyList {
  readonly page: number
  readonly page_size: number
  /** Of the accounts that are named on it, by id. */
  readonly names: ReadonlyMap<string, string>
}

class KeysView extends View {
  static override properties = {
    form: { state: true },
    until: { state: true },
    rotated: { state: true },
    made: { state: true },
    leaving: { state: true },
  }
  /** The key that is changed, or `new`; undefined: no form is open. */
  declare protected form: ApiKeyItem | 'new' | undefined
  /** Epoch ms to which the key works that was rotated. */
  declare protected until: number | undefined
  declare protected rotated: ApiKeyItem | undefined
  declare protected made: (NewApiKey & { readonly model?: string | undefined }) | undefined
  declare protected leaving: ApiKeyItem | undefined
  readonly #action = new Action(this)
  readonly #revocation = new Confirmation()
  readonly #rotation = new Confirmation()
  readonly #keys = new PagedList(this, loadKeys)

  protected override refresh(): void {
    this.#keys.reload()
  }

  protected override render(): TemplateResult {
    return html`
      <div class="heading"><h1 tabindex="-1">${t('Keys')}</h1>
        ${this.form ? nothing : html`<button class="primary" @click=${() => this.#open('new')}>${icon('plus')}${t('Create key')}</button>`}</div>
      ${this.made ? html`<new-key .made=${this.made} .until=${this.until} @done=${() => this.#close()}></new-key>` : nothing}
      ${this.form ? this.#renderForm(this.form) : nothing}
      ${this.#action.renderProblem()}
      ${this.#keys.render((list) => (list.total > 0 || this.#keys.isSearch ? this.#renderKeys(list) : this.#renderNone()), 6)}
      ${this.#revocation.render(
        t('Revoke {name}?', { name: this.leaving?.name ?? '' }),
        t('Apps that use this key are refused within seconds. This cannot be undone.'),
        t('Revoke'),
      )}
      ${this.#rotation.render(
        t('Rotate {name}?', { name: this.rotated?.name ?? '' }),
        t('It gets a new key. The one that apps have now works on for the time you choose.'),
        t('Rotate'),
        html`<p>${field(t('The old key works for'), html`<select name="overlap">${OVERLAPS.map(([seconds, text]) => option(seconds, t(text), seconds === DAY_SECONDS))}</select>`)}</p>`,
      )}`
  }

  #renderForm(form: ApiKeyItem | 'new'): TemplateResult {
    const edited = form === 'new' ? undefined : form
    return html`${keyed(
      edited?.id,
      html`<key-form .edited=${edited} @cancelled=${() => this.#close()} @changed=${() => this.#close()} @made=${this.#show}></key-form>`,
    )}`
  }

  #renderNone(): TemplateResult {
    if (this.form) return html``
    return html`<section class="card empty">${icon('key')}<h2>${t('No keys yet')}</h2>
      <p>${t('Every app gets a key of its own, for the accounts and models you choose.')}</p></section>`
  }

  #renderKeys(list: KeyPage): TemplateResult {
    const { items, names } = list
    return html`<section class="card"><div class="tools">${this.#keys.renderSearch()}</div>
      ${
        items.length === 0
          ? html`<p class="quiet">${t('Nothing matches.')}</p>`
          : html`<ul class="rows keys">${items.map((key) => this.#renderKey(key, names))}</ul>`
      }
      ${this.#keys.renderPaging(list)}</section>`
  }

  #renderKey(key: ApiKeyItem, names: KeyPage['names']): TemplateResult {
    const isOver = key.expires_at !== null && key.expires_at <= Date.now()
    const limits = [
      scopeOf(key, names),
      ...(key.models ? [key.models.join(', ')] : []),
      ...(key.requests_per_minute === null ? [] : [t('{n} a minute', { n: count(key.requests_per_minute) })]),
    ]
    return html`<li><span class="who"><strong title=${key.name}>${key.name}</strong><code>${key.prefix}…</code></span>
      <span class="quiet wrap">${limits.join(' · ')}</span>
      <span class="quiet">${t('Created {time}', { time: date(key.created_at) })}${
        key.expires_at === null
          ? ''
          : ` · ${t(isOver ? 'Expired {time}' : 'Expires {time}', { time: relative(key.expires_at) })}`
      } · ${key.last_used_at === null ? t('Never used') : t('Used {time}', { time: relative(key.last_used_at) })}</span>
      <span class="buttons">${this.#button(key, 'Change', () => this.#open(key))}
        ${this.#button(key, 'Rotate', () => void this.#rotate(key))}
        ${this.#button(key, 'Revoke', () => void this.#revoke(key))}</span></li>`
  }

  #button({ name }: ApiKeyItem, text: Text, does: () => void): TemplateResult {
    return html`<button class="small" aria-label="${t(text)}: ${name}" @click=${does}>${t(text)}</button>`
  }

  #open(form: ApiKeyItem | 'new'): void {
    this.made = undefined
    this.form = form
    scrollTo(0, 0)
  }

  readonly #show = ({ detail }: CustomEvent<NewApiKey>) => {
    this.form = undefined
    this.made = detail
    this.until = undefined
    this.#keys.restart() // it is on top
  }

  #close(): void {
    this.form = undefined
    this.made = undefined
    this.refresh()
    void this.updateComplete.then(() => this.querySelector<HTMLElement>('h1')?.focus())
  }

  async #rotate(key: ApiKeyItem): Promise<void> {
    this.rotated = key
    await this.updateComplete
    if (!(await this.#rotation.ask())) return
    const overlap = Number(this.querySelector<HTMLSelectElement>('select[name=overlap]')?.value)
    const made = await this.#action.run(() => rotateKey(key.id, overlap))
    if (!made) return
    this.form = undefined
    this.made = { ...made, ...(made.models && { model: made.models[0] }) }
    this.until = overlap === 0 ? undefined : Date.now() + overlap * 1000
    this.refresh()
    scrollTo(0, 0)
  }

  async #revoke(key: ApiKeyItem): Promise<void> {
    this.leaving = key
    await this.updateComplete
    if (!(await this.#revocation.ask())) return
    await this.#action.run(() => api('DELETE', `/api/keys/${key.id}`))
    forgetKey(key.id)
    if (this.made?.id === key.id) this.made = undefined
    this.refresh()
  }
}

async function loadKeys(query: string): Promise<KeyPage> {
  const keys = await get<Omit<KeyPage, 'names'>>(`/api/keys?sort=-created_at&${query}`)
  const named = keys.items.flatMap(({ model_config_ids: ids }) => (isNamed(ids) ? ids : []))
  return { ...keys, names: await namesOf([...new Set(named)]) }
}

function isNamed(ids: ApiKeyItem['model_config_ids']): ids is readonly string[] {
  return ids !== null && ids.length <= MAX_NAMED
}

async function namesOf(ids: readonly string[]): Promise<KeyPage['names']> {
  if (ids.length === 0) return new Map()
  const { items } = await get<ModelConfigPage>(`/api/models/configs?page_size=100&id=${ids.join(',')}`)
  return new Map(items.map(({ id, name }) => [id, name]))
}

function scopeOf({ model_config_ids: ids }: ApiKeyItem, known: KeyPage['names']): string {
  if (ids === null) return t('All accounts')
  const names = isNamed(ids) ? ids.map((id) => known.get(id)) : [undefined]
  return names.every((name) => name !== undefined) ? names.join(', ') : t('{n} accounts', { n: ids.length })
}

customElements.define('view-keys', KeysView)
