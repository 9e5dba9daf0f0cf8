/** From a provider to a connected account. */
import { html, nothing, type TemplateResult } from 'lit'
import type {
  ConnectionTestAnswer,
  ModelConfigItem,
  ProviderItem,
  Providers,
} from '../../admin/config-answers.ts'
import { get, post } from '../api.ts'
import { accountLogin } from '../parts/account-login.ts'
import { AccountName } from '../parts/account-name.ts'
import { Action } from '../parts/action.ts'
import { diagnose } from '../parts/diagnosis.ts'
import { field, secret } from '../parts/field.ts'
import { inputFields, inputsIn } from '../parts/input-fields.ts'
import { withListedModels } from '../parts/listed-models.ts'
import { Loader } from '../parts/loader.ts'
import { type Made, ONLY_A_LOGIN, renderMade } from '../parts/made-account.ts'
import { modelsOf } from '../parts/models-text.ts'
import { labelOf, renderHelp } from '../parts/provider-words.ts'
import { renderTemplate } from '../parts/template-card.ts'
import { renderChoices } from '../parts/vendor-choices.ts'
import '../parts/vendor-list.ts'
import { View } from '../parts/view.ts'
import { t } from '../texts.ts'

class ConnectView extends View {
  static override properties = {
    provider: {},
    awaited: { state: true },
    made: { state: true },
    tested: { state: true },
  }
  declare provider: string
  /** An account that waits for its login. */
  declare protected awaited: Made | undefined
  declare protected made: Made | undefined
  declare protected tested: ConnectionTestAnswer | undefined
  /** A finished login that still waits for a name that is free. */
  #sessionId: string | undefined
  readonly #action = new Action(this)
  readonly #trial = new Action(this)
  readonly #name = new AccountName(this)
  readonly #providers = new Loader(this, () => get<Providers>('/api/providers'))

  constructor() {
    super()
    this.provider = ''
  }

  protected override willUpdate(changed: Map<string, unknown>): void {
    if (!changed.has('provider')) return
    this.awaited = undefined
    this.made = undefined
    this.tested = undefined
    this.#sessionId = undefined
    if (this.provider) void this.#name.suggest(this.provider)
  }

  protected override render(): TemplateResult {
    const back = this.provider
      ? html`<a href="#/connect">${t('All providers')}</a>`
      : html`<a href="#/overview">${t('Overview')}</a>`
    return html`<p class="crumb">${back}</p>
      <div class="heading"><h1 tabindex="-1">${t('Connect account')}</h1></div>
      ${this.#providers.render((providers) => this.#renderStep(providers), 6)}`
  }

  #renderStep({ items, config_file }: Providers): TemplateResult {
    const { awaited, made } = this
    if (awaited) return renderAwaited(awaited, () => void this.#loggedIn(awaited))
    if (made) return renderMade(made, this.#trial.problem, () => void this.#try(made))
    const chosen = items.find(({ name }) => name === this.provider)
    if (!chosen) return html`<vendor-list .providers=${items}></vendor-list>`
    return html`${renderChoices(items, chosen)}${this.#renderChosen(chosen, config_file)}`
  }

  #renderChosen(chosen: ProviderItem, configFile: string | null): TemplateResult {
    const { missing_lines } = chosen
    if (missing_lines !== null) return renderTemplate(chosen, missing_lines, configFile, renderHelp(chosen))
    return this.#renderForm(chosen)
  }

  #renderForm(provider: ProviderItem): TemplateResult {
    const isLoginFirst = loginComes(provider) === 'first'
    const { suggested, isTaken } = this.#name
    const name = html`<input name="name" required maxlength="255" .defaultValue=${suggested || provider.name} autocomplete="off"
      aria-invalid=${isTaken} @input=${(event: Event) => this.#name.look((event.target as HTMLInputElement).value.trim())} />`
    const listed = provider.models.join(', ')
    const models = html`<input name="models" .defaultValue=${listed} placeholder=${t('any')} autocomplete="off" spellcheck="false" />`
    return html`<form class="card form" @submit=${(event: SubmitEvent) => void this.#submit(event, provider)}>
        <h2>${labelOf(provider)}</h2>
        ${provider.serves_completions ? nothing : html`<p class="quiet">${t(ONLY_A_LOGIN)}</p>`}
        ${renderHelp(provider)}
        ${renderMissing(provider)}
        ${this.#action.renderProblem()}
        <div class="columns">
          <div>${field(t('Name'), name)}
            <div role="status">${isTaken ? html`<p class="note bad">${t('The name is taken. Choose another.')}</p>` : nothing}</div></div>
          ${provider.serves_completions ? field(t('Models'), models, t('separated by commas')) : nothing}
          ${this.#renderSecretFields(provider)}
          ${inputFields(provider.inputs)}
        </div>
        ${isLoginFirst && !this.#sessionId ? nothing : this.#renderButtons(provider)}
        ${this.#renderTested()}
      </form>
      ${isLoginFirst && !isTaken ? this.#renderLogin(provider) : nothing}`
  }

  #renderLogin(provider: ProviderItem): TemplateResult {
    return html`<token-broker-connect provider=${provider.name} name=${labelOf(provider)} @connected=${this.#connected}></token-broker-connect>`
  }

  #renderSecretFields({ credential, base_url }: ProviderItem): TemplateResult | typeof nothing {
    if (credential === 'session') return field(t('Access token'), secret('access_token'))
    if (credential !== 'api_key') return nothing
    const isNeeded = base_url === null
    const address = html`<input name="base_url" type="url" ?required=${isNeeded} placeholder=${base_url ?? 'https://…/v1'} />`
    return html`${field(t('Base URL'), address, isNeeded ? '' : t('only where it differs'))}
      ${field(t('API key'), secret('api_key'))}`
  }

  #renderTested(): TemplateResult | typeof nothing {
    if (!this.tested) return nothing
    const { success, message, raw_error = '' } = this.tested
    return html`<p class="note ${success ? 'good' : 'bad'}" role="status">${message} ${raw_error}</p>`
  }

  #renderButtons(provider: ProviderItem): TemplateResult {
    const test = html`<button type="button" @click=${() => void this.#test(provider)}>${t('Test')}</button>`
    return html`<div class="actions">
      <button class="primary" aria-disabled=${this.#action.isBusy}>${t('Connect')}</button>
      ${provider.credential === 'api_key' && provider.inputs.length === 0 ? test : nothing}</div>`
  }

  readonly #connected = (event: CustomEvent<{ session_id: string }>) => {
    this.#sessionId = event.detail.session_id
    this.querySelector('form')?.requestSubmit()
  }

  async #submit(event: SubmitEvent, provider: ProviderItem): Promise<void> {
    event.preventDefault()
    const fields = this.#fields()
    const isLogin = loginComes(provider) === 'first' && this.#sessionId === undefined
    if (isLogin && !(await this.#name.check(fields['name'] ?? ''))) return
    if (isLogin) void this.querySelector('token-broker-connect')?.start()
    else void this.#create(fields, provider)
  }

  async #create(fields: Record<string, string>, provider: ProviderItem): Promise<void> {
    const { name, base_url, api_key, access_token } = fields
    const form = this.querySelector('form')
    const inputs = form ? inputsIn(form, provider.inputs) : {}
    const config = await this.#action.run(() =>
      post<ModelConfigItem>('/api/models/configs', {
        name,
        provider: provider.name,
        models: modelsOf(fields['models']).map((model_id) => ({ model_id })),
        ...(base_url && { base_url }),
        ...(api_key && { api_key }),
        ...(access_token && { oauth_token: { access_token } }),
        ...(this.#sessionId !== undefined && { oauth_session_id: this.#sessionId }),
        ...(Object.keys(inputs).length > 0 && { inputs }),
      }),
    )
    if (!config) return
    const stored = { config, provider, diagnosis: undefined }
    if (loginComes(provider) !== 'later') return this.#try(stored)
    this.awaited = stored
    await this.updateComplete
    this.querySelector('h1')?.focus()
  }

  async #loggedIn(stored: Made): Promise<void> {
    const path = `/api/models/configs/${stored.config.id}`
    const config = await get<ModelConfigItem>(path).catch(() => stored.config)
    this.awaited = undefined
    await this.#try({ ...stored, config })
  }

  /** What was stored may be wrong, and says so here or with an app's first call. */
  async #try(stored: Made): Promise<void> {
    this.made = { ...stored, diagnosis: undefined }
    const diagnosis = await this.#trial.run(() => diagnose(stored.config.id))
    if (this.made?.config !== stored.config) return
    const lacksModels =
      diagnosis?.ok && stored.provider.serves_completions && stored.config.models.length === 0
    // It works without them, too.
    const config = lacksModels
      ? await withListedModels(stored.config).catch(() => stored.config)
      : stored.config
    this.made = { ...stored, config, diagnosis }
    await this.updateComplete
    this.querySelector<HTMLElement>('.empty h2')?.focus()
  }

  async #test(provider: ProviderItem): Promise<void> {
    const { base_url, api_key, models } = this.#fields()
    const [model_id = provider.models[0]] = modelsOf(models)
    if (!this.querySelector('form')?.reportValidity()) return
    if (model_id === undefined) {
      this.tested = { success: false, message: t('Enter a model to test with.') }
      return
    }
    this.tested = await this.#action.run(() =>
      post<ConnectionTestAnswer>('/api/models/configs/test-connection', {
        provider: provider.name,
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

function renderMissing({ missing_variables: names }: ProviderItem): TemplateResult | typeof nothing {
  if (names.length === 0) return nothing
  const text = t(
    'It reads {names} of the broker’s environment, which is not set: set it, and start the broker again.',
    {
      names: names.join(', '),
    },
  )
  return html`<p class="note">${text}</p>`
}

/** One by browser, or at a server that depends on what the account says, is a login of an account that there is. */
function loginComes({ credential, inputs }: ProviderItem): 'first' | 'later' | 'never' {
  if (credential === 'authorization_code') return 'later'
  if (credential !== 'device_code') return 'never'
  return inputs.length === 0 ? 'first' : 'later'
}

function renderAwaited({ config }: Made, connected: () => void): TemplateResult {
  const { id, name } = config
  return html`<p class="note" role="status">${t('{name} is stored. What is left is its login.', { name })}
      <a href="#/configs/${id}">${t('Details')}</a></p>
    <token-broker-connect auto name=${name} .desk=${accountLogin(config)} @connected=${connected}></token-broker-connect>`
}

customElements.define('view-connect', ConnectView)
