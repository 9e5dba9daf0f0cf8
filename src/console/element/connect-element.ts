/**
 * `<token-broker-connect provider="qwen">`: connects an account on any page: by device flow or, where
 * a `desk` begins one, by a login in the browser.
 *
 * Attributes: `provider`; `broker` (default: where this script came from); `name` to show; `lang`; `auto` starts by
 * itself; `expose-token` puts the token into `connected`. Events: `started`, `connected`, `failed`.
 */

import { html, LitElement, nothing, type PropertyValues, type TemplateResult } from 'lit'
import type { LoginBegun } from '../../admin/config-answers.ts'
import { ELEMENT_STYLE } from './element-style.ts'
import { type ElementText, type Language, languageOf, say } from './element-texts.ts'
import { beginLogin, bringAnswer, followLogin, type LoginDesk, openDesk, type Problem } from './login-desk.ts'
import { problemText } from './problem-text.ts'
import { renderBrowserLogin, renderCode } from './waiting.ts'

type Stage =
  | { readonly kind: 'idle' | 'starting' | 'connected' }
  | { readonly kind: 'waiting'; readonly login: LoginBegun; readonly endsAt: number }
  | { readonly kind: 'failed'; readonly problem: Problem }

const here = import.meta.url
/** The broker's address, with the path it is below; inside the console the script is in `assets/`. */
const OWN_BROKER = here.replace(/(?:assets\/)?[^/]*$/, '')
const COPIED_MS = 2_000

/** What a login begins with … */
const OF_CODE = {
  what: 'You get a code, approve it on the provider’s page, and are done.',
  begin: 'Get a code',
  begins: 'Getting a code …',
} as const
/** … and where only its beginning tells whether there is a code. */
const OF_ACCOUNT = {
  what: 'You log in on the provider’s page, and are done.',
  begin: 'Log in',
  begins: 'One moment …',
} as const

export class TokenBrokerConnect extends LitElement {
  static override styles = ELEMENT_STYLE
  static override properties = {
    provider: {},
    broker: {},
    name: {},
    auto: { type: Boolean },
    exposeToken: { type: Boolean, attribute: 'expose-token' },
    desk: { attribute: false },
    stage: { state: true },
    hasCopied: { state: true },
    unfit: { state: true },
  }
  declare provider: string
  declare broker: string
  declare name: string
  declare auto: boolean
  declare exposeToken: boolean
  /** Who logs an account in that there is already; undefined: anybody may log in at the provider, and gets a session. */
  declare desk: LoginDesk | undefined
  declare protected stage: Stage
  declare protected hasCopied: boolean
  /** What was wrong with an address that was brought. */
  declare protected unfit: Problem | undefined
  #leave: AbortController | undefined
  #clock: ReturnType<typeof setInterval> | undefined
  #languages: MutationObserver | undefined

  constructor() {
    super()
    this.provider = ''
    this.broker = OWN_BROKER
    this.name = ''
    this.auto = false
    this.exposeToken = false
    this.stage = { kind: 'idle' }
    this.hasCopied = false
  }

  /** Asks for a code and follows it; whatever was under way is given up. */
  async start(): Promise<void> {
    this.#end()
    const leave = new AbortController()
    this.#leave = leave
    this.unfit = undefined
    this.stage = { kind: 'starting' }
    const desk = this.desk ?? openDesk(this.broker, this.provider)
    const login = await beginLogin(desk, leave.signal)
    if (leave.signal.aborted) return
    if (!('session_id' in login)) return this.#fail(login)
    const { session_id, expires_in } = login
    this.stage = { kind: 'waiting', login, endsAt: Date.now() + expires_in * 1000 }
    this.#clock = setInterval(() => this.requestUpdate(), 1000)
    const shown =
      'user_code' in login ? { user_code: login.user_code } : { authorization_url: login.authorization_url }
    this.#tell('started', { session_id, ...shown })
    const end = await followLogin(desk, login, leave.signal)
    this.#end()
    if (end.kind === 'failed') return this.#fail(end.problem)
    this.stage = { kind: 'connected' }
    this.#tell('connected', {
      session_id,
      provider: this.provider,
      ...(this.exposeToken && { token: end.token }),
    })
  }

  /** Back to the beginning. */
  cancel(): void {
    this.#end()
    this.stage = { kind: 'idle' }
  }

  override connectedCallback(): void {
    super.connectedCallback()
    this.#languages = new MutationObserver(() => this.requestUpdate())
    const watched = { attributeFilter: ['lang'] }
    for (const node of [this, document.documentElement]) this.#languages.observe(node, watched)
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback()
    this.#languages?.disconnect()
    this.cancel()
  }

  protected override firstUpdated(): void {
    if (this.auto) void this.start()
  }

  /** What had the focus may be gone with the old stage; the new one's heading takes it over. */
  protected override willUpdate(changed: PropertyValues): void {
    if (!changed.has('stage') || !this.shadowRoot?.activeElement) return
    void this.updateComplete.then(() => this.shadowRoot?.querySelector<HTMLElement>('h2')?.focus())
  }

  protected override render(): TemplateResult {
    const { stage } = this
    return html`<section part="card">
      <div class="visually-hidden" role="status">${this.#announcement()}</div>
      ${stage.kind === 'waiting' ? this.#renderWaiting(stage.login, stage.endsAt) : nothing}
      ${stage.kind === 'idle' || stage.kind === 'starting' ? this.#renderIdle(stage.kind) : nothing}
      ${stage.kind === 'connected' ? this.#renderConnected() : nothing}
      ${stage.kind === 'failed' ? this.#renderFailed(stage.problem) : nothing}
    </section>`
  }

  #renderIdle(kind: 'idle' | 'starting'): TemplateResult {
    const { what, begin, begins } = this.desk ? OF_ACCOUNT : OF_CODE
    return html`
      <h2 part="title" tabindex="-1">${this.#say('Connect {name}', { name: this.#label })}</h2>
      <p>${this.#say(what)}</p>
      <div class="actions">
        <button part="button primary" class="primary" aria-disabled=${kind === 'starting'}
          @click=${() => kind === 'idle' && void this.start()}>
          ${this.#say(kind === 'idle' ? begin : begins)}
        </button>
      </div>`
  }

  #renderWaiting(login: LoginBegun, endsAt: number): TemplateResult {
    const say = (text: ElementText) => this.#say(text)
    const copying = { copied: this.hasCopied, copy: (text: string) => void this.#copy(text) }
    const problem = this.unfit && problemText(this.unfit, this.#language)[1]
    const bringing = { problem, bring: (url: string) => void this.#bring(login.session_id, url) }
    return html`<div class="waiting">
      ${'user_code' in login ? renderCode(login, say, copying) : renderBrowserLogin(login, say, bringing)}
      <div class="progress">
        <span class="dot" aria-hidden="true"></span>
        <span>${this.#say('Waiting for your approval')}</span>
        <span class="timer" role="timer">${this.#say('{time} left', { time: minutes(endsAt - Date.now()) })}</span>
        <button part="button" @click=${() => this.cancel()}>${this.#say('Cancel')}</button>
      </div>
    </div>`
  }

  #renderConnected(): TemplateResult {
    return html`<div class="result">
      ${mark('good', 'M5 12.5 10 17.5 19 7')}
      <div>
        <h2 part="title" tabindex="-1">${this.#say('Connected')}</h2>
        <p>${this.#say('{name} is connected.', { name: this.#label })}</p>
      </div>
    </div>`
  }

  #renderFailed(problem: Problem): TemplateResult {
    const [title, text] = problemText(problem, this.#language)
    return html`<div class="result">
      ${mark('bad', 'M6 6 18 18M18 6 6 18')}
      <div>
        <h2 part="title" tabindex="-1">${title}</h2>
        <p>${text}</p>
        <div class="actions">
          <button part="button primary" class="primary" @click=${() => void this.start()}>${this.#say('Try again')}</button>
        </div>
      </div>
    </div>`
  }

  #announcement(): string {
    const { stage } = this
    if (stage.kind === 'waiting') {
      const { login } = stage
      const what =
        'user_code' in login
          ? `${this.#say('Your code')}: ${login.user_code}`
          : this.#say('Log in at the provider')
      return `${what}. ${this.#say('Waiting for your approval')}`
    }
    if (stage.kind === 'connected') return this.#say('{name} is connected.', { name: this.#label })
    if (stage.kind === 'failed') return problemText(stage.problem, this.#language).join('. ')
    return stage.kind === 'starting' ? this.#say((this.desk ? OF_ACCOUNT : OF_CODE).begins) : ''
  }

  async #bring(session_id: string, url: string): Promise<void> {
    const { signal } = this.#leave ?? new AbortController()
    this.unfit = await bringAnswer(this.broker, { session_id, url }, signal)
  }

  async #copy(text: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(text)
    } catch {
      // No clipboard outside https and localhost: then the code is at least selected.
      const code = this.shadowRoot?.querySelector('output')
      if (code) getSelection()?.selectAllChildren(code)
      return
    }
    this.hasCopied = true
    setTimeout(() => {
      this.hasCopied = false
    }, COPIED_MS)
  }

  #fail(problem: Problem): void {
    this.stage = { kind: 'failed', problem }
    this.#tell('failed', { code: problem.code, message: problem.message })
  }

  #end(): void {
    clearInterval(this.#clock)
    this.#leave?.abort()
  }

  #tell(type: string, detail: object): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }))
  }

  get #label(): string {
    return this.name || this.provider
  }

  get #language(): Language {
    const tag = this.lang || this.closest<HTMLElement>('[lang]')?.lang || navigator.language
    return languageOf(tag) ?? 'en'
  }

  #say(text: ElementText, values?: Record<string, string | number>): string {
    return say(this.#language, text, values)
  }
}

function minutes(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000))
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

function mark(kind: 'good' | 'bad', path: string): TemplateResult {
  return html`<svg class="mark ${kind}" viewBox="0 0 24 24" aria-hidden="true"><path d=${path} /></svg>`
}

if (!customElements.get('token-broker-connect'))
  customElements.define('token-broker-connect', TokenBrokerConnect)

declare global {
  interface HTMLElementTagNameMap {
    'token-broker-connect': TokenBrokerConnect
  }
}
