/** What a person has to do while a login waits for them. */
import { html, nothing, type TemplateResult } from 'lit'
import type { ElementText } from './element-texts.ts'
import type { BrowserLogin, DeviceLogin } from './login-desk.ts'
import { qrCode } from './qr-code.ts'

type Say = (text: ElementText) => string

/** @property copied whether it was just now */
interface Copying {
  readonly copied: boolean
  readonly copy: (text: string) => void
}

export function renderCode(login: DeviceLogin, say: Say, { copied, copy }: Copying): TemplateResult {
  const link = webAddress(login.verification_uri_complete) ?? webAddress(login.verification_uri)
  return html`<div>
      <h2 part="title" tabindex="-1">${say('Your code')}</h2>
      <div class="code">
        <output part="code">${login.user_code}</output>
        <button part="button" aria-label=${say('Copy the code')} @click=${() => copy(login.user_code)}>
          ${say(copied ? 'Copied' : 'Copy')}
        </button>
      </div>
      ${outwards(link, say, 'Open the approval page')}
      <p class="hint">${say('Check that the page shows this code, then approve.')}</p>
    </div>
    ${
      link === undefined
        ? nothing
        : html`<figure part="figure">${qrCode(link, say('QR code of the approval page'))}
            <figcaption>${say('Or scan with a phone')}</figcaption></figure>`
    }`
}

/** @property bring takes the address that the login ended at. @property problem what was wrong with the last one */
interface Bringing {
  readonly bring: (url: string) => void
  readonly problem: string | undefined
}

export function renderBrowserLogin(login: BrowserLogin, say: Say, bringing: Bringing): TemplateResult {
  const { authorization_url, callback, paste } = login
  return html`<div>
      <h2 part="title" tabindex="-1">${say('Log in at the provider')}</h2>
      <p class="actions">${outwards(webAddress(authorization_url), say, 'Open the login page')}</p>
      ${callback ? html`<p class="hint">${say('Log in there and agree. This page goes on by itself.')}</p>` : nothing}
    </div>
    ${paste ? renderPaste(say, bringing, !callback) : nothing}`
}

/** @param isNeeded no other way ends the login */
function renderPaste(say: Say, { bring, problem }: Bringing, isNeeded: boolean): TemplateResult {
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    bring(String(new FormData(event.target as HTMLFormElement).get('url')).trim())
  }
  const form = html`<form @submit=${submit}>
      <p>${say('Copy the whole address of the page where the login ended, even if that page shows an error.')}</p>
      <label>${say('Address of that page')}
        <input part="input" name="url" type="url" required maxlength="16384" autocomplete="off" spellcheck="false" /></label>
      ${problem === undefined ? nothing : html`<p class="problem" role="alert">${problem}</p>`}
      <button part="button">${say('Finish the login')}</button></form>`
  if (isNeeded) return html`<div class="paste">${form}</div>`
  return html`<details class="paste"><summary>${say('It did not come back here?')}</summary>${form}</details>`
}

function outwards(link: string | undefined, say: Say, text: ElementText): TemplateResult | typeof nothing {
  if (link === undefined) return nothing
  return html`<a part="button primary" class="button primary" href=${link} target="_blank" rel="noopener noreferrer">
    ${say(text)}<span aria-hidden="true">↗</span>
    <span class="visually-hidden">(${say('opens in a new tab')})</span></a>`
}

/** Whatever a server names as its page, nothing but the web is linked: `javascript:` would run here. */
function webAddress(text: string): string | undefined {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) ? text : undefined
}
