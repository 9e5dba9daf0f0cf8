/** From a provider to a connected account. */
import { html, nothing, type TemplateResult } from 'lit'
import { get, post } from '../api.ts'
import { Action } from '../parts/action.ts'
import { field, secret } from '../parts/field.ts'
import { icon } from '../parts/icons.ts'
import { Loader } from '../parts/loader.ts'
import { View } from '../parts/view.ts'
import { type Text, t } from '../texts.ts'
import type { CredentialKind, ModelConfig, Provider } from '../types.ts'

const KINDS: Readonly<Record<CredentialKind, Text>> = {
  device_code: 'Log in with a code',
  api_key: 'API key',
  session: 'Web session',
  client_credentials: 'Client credentials',
}

interface TestAnswer {
  readonly success: boolean
  readonly message: string
  readonly raw_error?: string
}

class ConnectView extends View {
  static override properties = { provider: {}, made: { state: true }, tested: { state: true } }
  declare provider: string
  declare protected made: ModelConfig | undefined
  declare protected tested: TestAnswer | undefined
  /** A finished login that still waits for a name that is free. */
  #sessionId: string | undefined
  readonly #action = new Action(this)
  readonly #providers = new Loader(
    this,
    async () => (await get<{ items: Provider[] }>('/api/providers')).items,
  )

  constructor() {
    super()
    this.provider = ''
  }

  protected override willUpdate(changed: Map<string, unknown>): void {
    if (!changed.has('provider')) return
    this.made = undefined
    this.tested = undefined
    this.#sessionId = undefined
  }

  protected override render(): TemplateResult {
    const back = this.provider
      ? html`<a href="#/connect">${t('All providers')}</a>`
      : html`<a href="#/overview">${t('Overview')}</a>`
    return html`<p class="crumb">${back}</p>
      <div class="heading"><h1 tabindex="-1">${t('Connect account')}</h1></div>
      ${this.#providers.render((providers) => {
        const chosen = providers.find(({ name }) => name === this.provider)
        if (this.made) return this.#renderMade(this.made)
        return chosen ? this.#renderForm(chosen) : renderChoice(providers)
      }, 6)}`
  }

  #renderForm(provider: Provider): TemplateResult {
    const isDevice = provider.credential === 'device_code'
    const name = html`<input name="name" required maxlength="255" .defaultValue=${provider.name} autocomplete="off" />`
    const listed = provider.models.join(', ')
    const models = html`<input name="models" .defaultValue=${listed} placeholder=${t('any')} autocomplete="off" spellcheck="false" />`
    return html`<form class="card form" @submit=${(event: SubmitEvent) => this.#submit(event, provider)}>
        <h2>${provider.label}</h2>
        ${this.#action.renderProblem()}
        <div class="columns">
          ${field(t('Name'), name)}
          ${field(t('Models'), models, t('separated by commas'))}
          ${this.#renderSecretFields(provider)}
        </div>
        ${isDevice && !this.#sessionId ? nothing : this.#renderButtons(provider)}
        ${this.#renderTested()}
      </form>
      ${isDevice ? this.#renderLogin(provider) : nothing}`
  }

  #renderLogin({ name, label }: Provider): TemplateResult {
    return html`<token-broker-connect provider=${name} name=${label} @connected=${this.#connected}></token-broker-connect>`
  }

  #renderSecretFields({ credential, base_url }: Provider): TemplateResult | typeof nothing {
    if (credential === 'session') return field(t('Access token'), secret('access_token'))
    if (credential !== 'api_key') return nothing
    const isNeeded = base_url === null
    const address = html`<input name="base_url" type="url" ?required=${isNeeded} placeholder=${base_url ?? 'https://…/v1'} />`
    return html`${field(t('Base URL'), address, isNeeded ? '' : t('only if it is another'))}
      ${field(t('API key'), secret('api_key'))}`
  }

  #renderTested(): TemplateResult | typeof nothing {
    if (!this.tested) return nothing
    const { success, message, raw_error = '' } = this.tested
    return html`<p class="note ${success ? 'good' : 'bad'}" role="status">${message} ${raw_error}</p>`
  }

  #renderButtons(provider: Provider): TemplateResult {
    const test = html`<button type="button" @click=${() => void this.#test(provider)}>${t('Test')}</button>`
    return html`<div class="actions">
      <button class="primary" aria-disabled=${this.#action.isBusy}>${t('Connect')}</button>
      ${provider.credential === 'api_key' ? test : nothing}</div>`
  }

  #renderMade(config: ModelConfig): TemplateResult {
    return html`<section class="card empty good">${icon('check')}
      <h2 tabindex="-1">${t('{name} is connected.', { name: config.name })}</h2>
      <p>${t('Try it at once, or make a key for an app.')}</p>
      <div class="actions"><a class="button primary" href="#/playground">${t('Open the playground')}</a>
        <a class="button" href="#/keys">${t('Create a key')}</a>
        <a class="button" href="#/configs/${config.id}">${t('Details')}</a></div></section>`
  }

  readonly #connected = (event: CustomEvent<{ session_id: string }>) => {
    this.#sessionId = event.detail.session_id
    this.querySelector('form')?.requestSubmit()
  }

  #submit(event: SubmitEvent, provider: Provider): void {
    event.preventDefault()
    if (provider.credential === 'device_code' && !this.#sessionId) {
      void this.querySelector('token-broker-connect')?.start()
      return
    }
    void this.#create(this.#fields(), provider)
  }

  async #create(fields: Record<string, string>, provider: Provider): Promise<void> {
    const { name, base_url, api_key, access_token } = fields
    this.made = await this.#action.run(() =>
      post<ModelConfig>('/api/models/configs', {
        name,
        provider: provider.name,
        models: modelsOf(fields['models']).map((model_id) => ({ model_id })),
        ...(base_url && { base_url }),
        ...(api_key && { api_key }),
        ...(access_token && { oauth_token: { access_token } }),
        ...(this.#sessionId !== undefined && { oauth_session_id: this.#sessionId }),
      }),
    )
    if (!this.made) return
    await this.updateComplete
    this.querySelector<HTMLElement>('.empty h2')?.focus()
  }

  async #test(provider: Provider): Promise<void> {
    const { base_url, api_key, models } = this.#fields()
    const [model_id = provider.models[0]] = modelsOf(models)
    if (!this.querySelector('form')?.reportValidity()) return
    if (model_id === undefined) {
      this.tested = { success: false, message: t('Enter a model to test with.') }
      return
    }
    this.tested = await this.#action.run(() =>
      post<TestAnswer>('/api/models/configs/test-connection', {
        base_url: base_url || provider.base_url,
        api_key,
        model_id,
      }),
    )
  }

  #fields(): Record<string, string> {
    const form = this.querySelector('form')
    const entries = form ? [...new FormData(form)] : []
    return Object.fromEntries(entries.map(([name, value]) => [name, String(value).trim()]))
  }
}

function renderChoice(providers: readonly Provider[]): TemplateResult {
  const groups = Object.entries(KINDS)
    .map(([kind, text]) => ({ text, members: providers.filter(({ credential }) => credential === kind) }))
    .filter(({ members }) => members.length > 0)
  return html`${groups.map(
    ({ text, members }) => html`<section><h2>${t(text)}</h2>
      <ul class="choices">${members.map(
        ({ name, label }) =>
          html`<li><a class="card" href="#/connect/${encodeURIComponent(name)}"><strong>${label}</strong>${icon('chevron')}</a></li>`,
      )}</ul></section>`,
  )}`
}

export function modelsOf(text = ''): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

customElements.define('view-connect', ConnectView)
