/**
 * `<config-form>`: what an account is called, what it serves and where. Tells `cancelled`, or `changed` with whether
 * calls are made in another way now.
 */
import { html, nothing, type TemplateResult } from 'lit'
import type { ListedModels, ModelConfigItem, ProviderInput, Providers } from '../../admin/config-answers.ts'
import { api, get } from '../api.ts'
import { t } from '../texts.ts'
import { Action } from './action.ts'
import { field, secret } from './field.ts'
import { inputFields, inputsIn } from './input-fields.ts'
import { listedModels } from './listed-models.ts'
import { modelsOf } from './models-text.ts'
import { View } from './view.ts'

class ConfigForm extends View {
  static override properties = {
    config: {},
    address: { state: true },
    listed: { state: true },
    inputs: { state: true },
  }
  /** As it was when the form was opened: somebody else's change meanwhile is not written over. */
  declare config: ModelConfigItem
  declare protected address: string
  declare protected listed: ListedModels | undefined
  /** Of its provider's file, once they are known. */
  declare protected inputs: readonly ProviderInput[] | undefined
  readonly #action = new Action(this)

  protected override willUpdate(): void {
    this.address ??= this.config.base_url
  }

  protected override firstUpdated(): void {
    this.querySelector<HTMLElement>('input')?.focus()
    void this.#action.run(async () => {
      const { items } = await get<Providers>('/api/providers')
      this.inputs = items.find(({ name }) => name === this.config.provider)?.inputs
    })
  }

  protected override render(): TemplateResult {
    const { config } = this
    const name = html`<input name="name" required maxlength="255" .defaultValue=${config.name} autocomplete="off" />`
    const listed = config.models.map(({ model_id }) => model_id).join(', ')
    const models = html`<textarea name="models" rows="2" .defaultValue=${listed} placeholder=${t('any')} autocomplete="off" spellcheck="false"></textarea>`
    return html`<form class="card form" @submit=${this.#submit}>
      <h2>${t('Change account')}</h2>
      ${this.#action.renderProblem()}
      <div class="columns">
        ${field(t('Name'), name)}
        ${config.credential.kind === 'api_key' ? this.#renderAddress() : nothing}
        ${inputFields(this.inputs ?? [], config.inputs)}
      </div>
      <div>${field(t('Models'), models, t('separated by commas'))}
        <p class="under"><button type="button" class="small" @click=${() => void this.#fill()}>${t('Fill in what the endpoint lists')}</button>
          <span role="status" class="quiet">${this.#renderListed()}</span></p></div>
      <div class="actions"><button class="primary" aria-disabled=${this.#action.isBusy}>${t('Save')}</button>
        <button type="button" @click=${() => this.dispatchEvent(new Event('cancelled'))}>${t('Cancel')}</button></div>
    </form>`
  }

  #renderAddress(): TemplateResult {
    const input = (event: Event) => {
      this.address = (event.target as HTMLInputElement).value.trim()
    }
    const address = html`<input name="base_url" type="url" .defaultValue=${this.config.base_url} @input=${input} placeholder="https://…/v1" />`
    const isMoved = originOf(this.address) !== originOf(this.config.base_url)
    return html`${field(t('Base URL'), address)}
      ${isMoved ? field(t('API key'), secret('api_key'), t('needed again at another address')) : nothing}`
  }

  #renderListed(): string {
    if (!this.listed) return ''
    return this.listed.reason ?? t('{n} models', { n: this.listed.models.length })
  }

  async #fill(): Promise<void> {
    this.listed = await this.#action.run(() => listedModels(this.config.id))
    const text = this.querySelector('textarea')
    if (text && this.listed && this.listed.models.length > 0) text.value = this.listed.models.join(', ')
  }

  readonly #submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const { config } = this
    const form = event.target as HTMLFormElement
    const fields = new FormData(form)
    const inputs = inputsIn(form, this.inputs ?? [], config.inputs)
    const text = (name: string) => String(fields.get(name) ?? '').trim()
    const known = new Map(config.models.map((model) => [model.model_id, model]))
    const ofCalls = {
      ...(fields.has('base_url') && text('base_url') !== config.base_url && { base_url: text('base_url') }),
      ...(fields.has('api_key') && { api_key: text('api_key') }),
      ...(Object.keys(inputs).length > 0 && { inputs }),
    }
    const changed = await this.#action.run(() =>
      api<ModelConfigItem>('PUT', `/api/models/configs/${config.id}`, {
        name: text('name'),
        models: modelsOf(text('models')).map((model_id) => known.get(model_id) ?? { model_id }),
        ...ofCalls,
        updated_at: config.updated_at,
      }),
    )
    const detail = { isUntried: Object.keys(ofCalls).length > 0 }
    if (changed) this.dispatchEvent(new CustomEvent('changed', { detail }))
  }
}

function originOf(address: string): string {
  return URL.canParse(address) ? new URL(address).origin : address
}

customElements.define('config-form', ConfigForm)
