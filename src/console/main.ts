/**
 * The console's frame: sign-in or navigation and the view of the address.
 */
import './element/connect-element.ts'
import './views/audit.ts'
import './views/config.ts'
import './views/connect.ts'
import './views/keys.ts'
import './views/overview.ts'
import './views/playground.ts'
import './views/sign-in.ts'
import './views/usage.ts'
import { html, nothing, type TemplateResult } from 'lit'
import { resume, session, signOut } from './api.ts'
import { closeLive, openLive } from './live.ts'
import { type Icon, icon } from './parts/icons.ts'
import { View } from './parts/view.ts'
import { applySettings, choose, language, type Theme, theme } from './settings.ts'
import { type Text, t } from './texts.ts'

const RETRY_MS = 3_000

const NAVIGATION: readonly [path: string, text: Text, icon: Icon][] = [
  ['overview', 'Overview', 'overview'],
  ['playground', 'Playground', 'chat'],
  ['keys', 'Keys', 'key'],
  ['usage', 'Usage', 'chart'],
  ['audit', 'Audit', 'list'],
]

class BrokerConsole extends View {
  static override properties = { isSignedIn: { state: true }, isAway: { state: true }, path: { state: true } }
  /** Undefined until it is known. */
  declare protected isSignedIn: boolean | undefined
  declare protected isAway: boolean
  /** What follows `#/`, split. */
  declare protected path: readonly string[]

  constructor() {
    super()
    this.path = readPath()
    this.isAway = false
    session.addEventListener('ended', () => {
      closeLive()
      this.isSignedIn = false
    })
    addEventListener('hashchange', () => {
      this.path = readPath()
      void this.updateComplete.then(() => this.#enter())
    })
    void this.#resume()
  }

  /** A broker that is away for a moment ends no session: it is asked until it answers. */
  async #resume(): Promise<void> {
    try {
      if (await resume()) this.#begin()
      else this.isSignedIn = false
      this.isAway = false
    } catch {
      this.isAway = true
      setTimeout(() => void this.#resume(), RETRY_MS)
    }
  }

  protected override render(): TemplateResult | typeof nothing {
    if (this.isAway) {
      return html`<main class="gate"><p class="note bad" role="alert">${t('The broker cannot be reached. This page comes back by itself.')}</p></main>`
    }
    if (this.isSignedIn === undefined) return nothing
    if (!this.isSignedIn) {
      return html`<main class="gate"><view-sign-in @signed-in=${() => this.#begin()}></view-sign-in>${this.#preferences()}</main>`
    }
    return html`
      <a class="skip" href="#main" @click=${(event: Event) => this.#skip(event)}>${t('Skip to content')}</a>
      <div class="frame">
        <header>
          <a class="brand" href="#/overview"><img src=${ICON} alt="" width="28" height="28" />token-broker</a>
          <nav aria-label=${t('Sections')}>${NAVIGATION.map((entry) => this.#link(...entry))}</nav>
          <div class="aside">
            ${this.#preferences()}
            <button class="plain" @click=${() => void signOut()}>${icon('out')}<span>${t('Sign out')}</span></button>
          </div>
        </header>
        <main id="main" tabindex="-1">${this.#view()}</main>
      </div>`
  }

  #view(): TemplateResult {
    const [view, id = ''] = this.path
    switch (view) {
      case 'playground':
        return html`<view-playground></view-playground>`
      case 'keys':
        return html`<view-keys></view-keys>`
      case 'usage':
        return html`<view-usage></view-usage>`
      case 'audit':
        return html`<view-audit></view-audit>`
      case 'connect':
        return html`<view-connect .provider=${decodeURIComponent(id)}></view-connect>`
      case 'configs':
        return html`<view-config .configId=${decodeURIComponent(id)} ?relogin=${this.path[2] === 'login'} ?editing=${this.path[2] === 'change'}></view-config>`
      default:
        return html`<view-overview></view-overview>`
    }
  }

  #link(path: string, text: Text, sign: Icon): TemplateResult {
    const [view] = this.path
    const isHere = view === path || (path === 'overview' && (view === 'configs' || view === 'connect'))
    return html`<a href="#/${path}" aria-current=${isHere ? 'page' : nothing}>${icon(sign)}<span>${t(text)}</span></a>`
  }

  #preferences(): TemplateResult {
    const themes: [Theme, Text][] = [
      ['auto', 'Automatic'],
      ['light', 'Light'],
      ['dark', 'Dark'],
    ]
    return html`<div class="preferences">
      <button class="plain" lang=${language() === 'zh' ? 'en' : 'zh-CN'}
        @click=${() => choose({ language: language() === 'zh' ? 'en' : 'zh' })}>${language() === 'zh' ? 'English' : '中文'}</button>
      <label><span class="visually-hidden">${t('Theme')}</span>
        <select @change=${(event: Event) => choose({ theme: (event.target as HTMLSelectElement).value as Theme })}>
          ${themes.map(([value, text]) => html`<option value=${value} ?selected=${value === theme()}>${t(text)}</option>`)}
        </select></label>
    </div>`
  }

  #begin(): void {
    this.isSignedIn = true
    openLive()
    this.#enter()
  }

  /** A new view begins at its top, for eyes and screen readers. */
  #enter(): void {
    scrollTo(0, 0)
    const heading = this.querySelector<HTMLElement>('main h1')
    document.title = heading ? `${heading.textContent.trim()} · token-broker` : 'token-broker'
    heading?.focus({ preventScroll: true })
  }

  #skip(event: Event): void {
    event.preventDefault()
    this.querySelector<HTMLElement>('main')?.focus()
  }
}

const ICON = new URL('./icon.svg', import.meta.url).href

function readPath(): readonly string[] {
  const path = location.hash.replace(/^#\/?/, '').split('/')
  return path[0] === '' ? ['overview'] : path
}

applySettings()
customElements.define('broker-console', BrokerConsole)
