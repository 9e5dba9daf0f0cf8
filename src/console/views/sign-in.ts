/** The admin token, once. */
import { html, type TemplateResult } from 'lit'
import { ApiError, signIn } from '../api.ts'
import { Action } from '../parts/action.ts'
import { View } from '../parts/view.ts'
import { t } from '../texts.ts'

const ICON = new URL('../icon.svg', import.meta.url).href

class SignIn extends View {
  readonly #action = new Action(this)

  protected override render(): TemplateResult {
    return html`<form class="card sign-in" @submit=${this.#submit}>
      <img src=${ICON} alt="" width="40" height="40" />
      <h1 tabindex="-1">token-broker</h1>
      <p class="quiet">${t('Sign in with the admin token. The first start wrote it to a file: data/admin-token.')}</p>
      ${this.#action.renderProblem()}
      <input name="username" value="admin" autocomplete="username" hidden readonly />
      <label class="field"><span>${t('Admin token')}</span>
        <input name="token" type="password" autocomplete="current-password" required autofocus spellcheck="false" /></label>
      <button class="primary" aria-disabled=${this.#action.isBusy}>${t('Sign in')}</button>
    </form>`
  }

  readonly #submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const token = String(new FormData(event.target as HTMLFormElement).get('token')).trim()
    const isIn = await this.#action.run(async () => {
      await signIn(token).catch(inWords)
      return true
    })
    if (isIn) this.dispatchEvent(new Event('signed-in'))
    else this.querySelector<HTMLInputElement>('[name=token]')?.select()
  }
}

/** The API tells programs to send the token, which whoever sits here just did. */
function inWords(error: unknown): never {
  if (!(error instanceof ApiError) || error.code !== 'admin_token_required') throw error
  throw new ApiError(error.code, error.status, t('That is not the admin token.'))
}

customElements.define('view-sign-in', SignIn)
