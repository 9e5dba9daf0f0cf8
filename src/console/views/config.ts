/** One account: how it is, and everything that can be done about it. */
import { html, nothing, type TemplateResult } from 'lit'
import { api, get, post } from '../api.ts'
import { Action } from '../parts/action.ts'
import '../parts/config-form.ts'
import type { AuditPage, UsageAnswer } from '../../admin/answers.ts'
import type { Diagnosis, ModelConfigItem, Providers } from '../../admin/config-answers.ts'
import { accountLogin } from '../parts/account-login.ts'
import { auditList } from '../parts/audit-list.ts'
import { chart } from '../parts/chart.ts'
import { diagnose, renderDiagnosis } from '../parts/diagnosis.ts'
import { Confirmation } from '../parts/dialog.ts'
import { field, secret } from '../parts/field.ts'
import { icon } from '../parts/icons.ts'
import { inputFacts } from '../parts/input-fields.ts'
import { Loader } from '../parts/loader.ts'
import { expiryBar, stateBadge } from '../parts/state.ts'
import { dateTime, relative } from '../parts/time.ts'
import { hourlyBars, lastDay } from '../parts/usage-rows.ts'
import { View } from '../parts/view.ts'
import { type Text, t } from '../texts.ts'

class ConfigView extends View {
  static override properties = {
    configId: {},
    relogin: { type: Boolean },
    editing: { type: Boolean },
    diagnosis: { state: true },
    said: { state: true },
    edited: { state: true },
  }
  declare configId: string
  declare relogin: boolean
  /** Begins with its form. */
  declare editing: boolean
  declare protected diagnosis: Diagnosis | undefined
  declare protected said: string
  /** The account as it was when its form was opened. */
  declare protected edited: ModelConfigItem | undefined
  readonly #action = new Action(this)
  readonly #deletion = new Confirmation()
  readonly #config = new Loader(this, () => get<ModelConfigItem>(`/api/models/configs/${this.configId}`))
  readonly #usage = new Loader(this, () =>
    get<UsageAnswer>(`/api/usage?group_by=hour&from=${lastDay()}&config_id=${this.configId}`),
  )
  readonly #audit = new Loader(this, () =>
    get<AuditPage>(`/api/audit?page_size=10&config_id=${this.configId}`),
  )

  readonly #providers = new Loader(this, () => get<Providers>('/api/providers'))

  constructor() {
    super()
    this.configId = ''
    this.relogin = false
    this.editing = false
    this.said = ''
  }

  protected override refresh(): void {
    for (const loader of [this.#config, this.#usage, this.#audit]) void loader.load()
  }

  protected override willUpdate(): void {
    if (!this.editing || !this.#config.value) return
    this.editing = false
    this.#edit(this.#config.value)
  }

  protected override render(): TemplateResult {
    return html`<p class="crumb"><a href="#/overview">${t('Overview')}</a></p>
      ${this.#config.value ? nothing : html`<h1 tabindex="-1">${t('Account')}</h1>`}
      ${this.#config.render((config) => this.#renderConfig(config), 8)}`
  }

  #renderConfig(config: ModelConfigItem): TemplateResult {
    const isKey = config.credential.kind === 'api_key'
    return html`
      <div class="heading"><h1 tabindex="-1">${config.name}</h1>${stateBadge(config)}</div>
      <div role="status">${this.said ? html`<p class="note good">${icon('check')}${this.said}</p>` : nothing}</div>
      ${this.#action.renderProblem()}
      ${config.credential.next_action === 'edit_inputs' ? html`<p class="note bad">${icon('alert')}${t(config.credential.state === 'missing' ? 'What this account says is not whole: {reason}' : 'The server that gives out tokens refuses what this account was given: {reason}', { reason: config.credential.reason ?? '–' })}</p>` : nothing}
      ${this.#renderLogin(config)}
      ${this.edited ? html`<config-form .config=${this.edited} @cancelled=${() => this.#closeForm()} @changed=${this.#saved}></config-form>` : nothing}
      <section class="card">
        <dl class="facts">
          <div><dt>${t('Provider')}</dt><dd>${config.provider}</dd></div>
          <div><dt>${t('Token')}</dt><dd>${expiryBar(config)}</dd></div>
          <div><dt>${t('Last refresh')}</dt><dd>${config.credential.refreshed_at === null ? '–' : relative(config.credential.refreshed_at)}</dd></div>
          <div><dt>${t('Models')}</dt><dd>${config.models.map(({ model_id }) => model_id).join(', ') || t('Any')}</dd></div>
          <div><dt>${t('Last accepted')}</dt><dd>${config.credential.accepted_at === null ? t('Not yet') : relative(config.credential.accepted_at)}</dd></div>
          ${fact('Base URL', config.credential.resource_url ?? config.base_url)}
          ${fact('Scope', config.credential.scope)}
          ${sessionFacts(config.credential.session)}
          ${fact('Fingerprint', config.credential.fingerprint)}
          ${this.#inputs(config).map(([label, text]) => html`<div><dt>${label}</dt><dd class="wrap">${text}</dd></div>`)}
          <div><dt>${t('Created')}</dt><dd>${dateTime(config.created_at)}</dd></div>
        </dl>
        <div class="actions">
          <button @click=${() => void this.#diagnose()}>${t('Test')}</button>
          ${isKey ? nothing : html`<button @click=${() => void this.#refresh()}>${t('Refresh now')}</button>`}
          ${this.relogin || !isGivenAnew(config) ? nothing : html`<a class="button" href="#/configs/${config.id}/login">${t(isKey ? 'Enter the key' : 'Log in again')}</a>`}
          ${this.edited ? nothing : html`<button @click=${() => this.#edit(config)}>${t('Change')}</button>`}
          <button @click=${() => void this.#setActive(config, !config.is_active)}>${t(config.is_active ? 'Disable' : 'Enable')}</button>
          <button class="danger" @click=${() => void this.#delete(config)}>${t('Delete')}</button>
        </div>
      </section>
      ${this.diagnosis ? renderDiagnosis(this.diagnosis) : nothing}
      <section class="card"><h2>${t('Last 24 hours')}</h2>
        ${this.#usage.render(({ items }) => chart(hourlyBars(items), t('Requests')), 4)}</section>
      <section class="card"><h2>${t('Audit')}</h2>${this.#audit.render(({ items }) => auditList(items), 3)}</section>
      ${this.#deletion.render(
        t('Delete {name}?', { name: config.name }),
        t('Its tokens are erased and calls that use it fail. This cannot be undone.'),
        t('Delete'),
      )}`
  }

  #renderLogin(config: ModelConfigItem): TemplateResult | typeof nothing {
    if (!this.relogin) return nothing
    const { kind } = config.credential
    if (kind === 'device_code' || kind === 'authorization_code') {
      return html`<token-broker-connect auto name=${config.name} .desk=${accountLogin(config)}
        @connected=${() => void this.#connectedAgain(config.name)}></token-broker-connect>`
    }
    return html`<form class="card inline" @submit=${(event: SubmitEvent) => this.#submitSecret(event, kind === 'api_key')}>
      ${field(t(kind === 'api_key' ? 'New API key' : 'New access token'), secret('secret'))}
      <button class="primary">${t('Save')}</button></form>`
  }

  async #diagnose(): Promise<void> {
    this.said = ''
    this.diagnosis = await this.#action.run(() => diagnose(this.configId))
    this.refresh()
  }

  #edit(config: ModelConfigItem): void {
    this.said = ''
    this.edited = config
  }

  #closeForm(said = ''): void {
    this.edited = undefined
    this.said = said
    location.hash = `#/configs/${this.configId}`
    this.refresh()
    void this.updateComplete.then(() => this.querySelector<HTMLElement>('h1')?.focus())
  }

  /** What calls are made with now may be wrong, and says so here or with an app's next call. */
  readonly #saved = async ({ detail }: CustomEvent<{ isUntried: boolean }>) => {
    this.#closeForm(t('Saved.'))
    if (!detail.isUntried) return
    await this.#diagnose()
    this.said = t('Saved.')
  }

  #inputs({ provider, inputs }: ModelConfigItem): [label: string, text: string][] {
    const file = this.#providers.value?.items.find(({ name }) => name === provider)
    return inputFacts(file?.inputs ?? [], inputs)
  }

  async #refresh(): Promise<void> {
    const done = await this.#action.run(() => post(`/api/models/configs/${this.configId}/refresh`))
    this.said = done ? t('The token was refreshed.') : ''
    this.refresh()
  }

  async #setActive(config: ModelConfigItem, isActive: boolean): Promise<void> {
    await this.#action.run(() =>
      api('PATCH', `/api/models/configs/${config.id}/status?is_active=${isActive}`),
    )
    this.refresh()
  }

  async #delete(config: ModelConfigItem): Promise<void> {
    if (!(await this.#deletion.ask())) return
    const isGone = await this.#action.run(async () => {
      await api('DELETE', `/api/models/configs/${config.id}`)
      return true
    })
    if (isGone) location.hash = '#/overview'
  }

  #submitSecret(event: SubmitEvent, isKey: boolean): void {
    event.preventDefault()
    const secret = String(new FormData(event.target as HTMLFormElement).get('secret')).trim()
    void this.#change(isKey ? { api_key: secret } : { oauth_token: { access_token: secret } })
  }

  async #change(body: object): Promise<void> {
    const changed = await this.#action.run(() =>
      api<ModelConfigItem>('PUT', `/api/models/configs/${this.configId}`, body),
    )
    if (changed) await this.#connectedAgain(changed.name)
  }

  async #connectedAgain(name: string): Promise<void> {
    location.hash = `#/configs/${this.configId}`
    await this.#diagnose()
    if (this.diagnosis?.ok) this.said = t('{name} is connected again.', { name })
  }
}

/** Others have what they say for their provider's inputs, and no more. */
function isGivenAnew({ credential: { kind } }: ModelConfigItem): boolean {
  return kind === 'device_code' || kind === 'authorization_code' || kind === 'session' || kind === 'api_key'
}

/** Whose web session it is, and since when; when it ends is told of every token. */
function sessionFacts(session: ModelConfigItem['credential']['session']) {
  if (!session) return nothing
  const issued = session.issued_at === null ? null : dateTime(session.issued_at)
  return html`${fact('User', session.user_id)}${fact('Issued', issued)}`
}

function fact(name: Text, value: string | null): TemplateResult | typeof nothing {
  return value ? html`<div><dt>${t(name)}</dt><dd class="wrap">${value}</dd></div>` : nothing
}

customElements.define('view-config', ConfigView)
