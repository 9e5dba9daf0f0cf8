/** Who needs a login, and how every config is. */
import { html, nothing, type TemplateResult } from 'lit'
import type { UsageAnswer, UsageRow } from '../../admin/answers.ts'
import type { ModelConfigItem, ModelConfigPage } from '../../admin/config-answers.ts'
import { get, troubleOfBroker } from '../api.ts'
import { sparkline } from '../parts/chart.ts'
import { icon } from '../parts/icons.ts'
import { Loader } from '../parts/loader.ts'
import { PagedList } from '../parts/paged-list.ts'
import { expiryBar, shownState, stateBadge } from '../parts/state.ts'
import { count, percent, relative } from '../parts/time.ts'
import { hourlyBars, lastDay, sumOf, type UsageTotals } from '../parts/usage-rows.ts'
import { View } from '../parts/view.ts'
import { type Text, t } from '../texts.ts'

const SHOWN_URGENT = 5
/** What was used does not move with what happens to accounts, and is summed over all of them. */
const USAGE_EVERY_MS = 10_000

const FILTERS = {
  all: ['All', ''],
  attention: ['Needs you', '&state=reauth_required,refused,missing&is_active=true'],
  active: ['Enabled', '&is_active=true'],
  disabled: ['Disabled', '&is_active=false'],
} as const satisfies Record<string, readonly [Text, string]>

class Overview extends View {
  static override properties = { filter: { state: true } }
  declare protected filter: keyof typeof FILTERS
  readonly #list = new PagedList(this, (query) => this.#loadList(query))
  readonly #all = new Loader(this, () => get<ModelConfigPage>('/api/models/configs?page_size=1'))
  readonly #urgent = new Loader(this, () =>
    get<ModelConfigPage>(`/api/models/configs?page_size=${SHOWN_URGENT}${FILTERS.attention[1]}`),
  )
  readonly #trouble = new Loader(this, async () => ({ what: await troubleOfBroker() }))
  readonly #usage = new Loader(this, () => this.#loadUsage())
  readonly #bars = new Loader(this, () => this.#loadBars())
  /** The accounts that bars were last loaded for. */
  #barsOf = ''
  #usedAt = performance.now()

  constructor() {
    super()
    this.filter = 'all'
  }

  protected override refresh(): void {
    for (const loader of [this.#list, this.#urgent, this.#all, this.#trouble]) loader.reload()
    if (performance.now() - this.#usedAt < USAGE_EVERY_MS) return
    this.#usedAt = performance.now()
    for (const loader of [this.#usage, this.#bars]) loader.reload()
  }

  protected override render(): TemplateResult {
    return html`
      <div class="heading"><h1 tabindex="-1">${t('Overview')}</h1>
        <a class="button primary" href="#/connect">${icon('plus')}${t('Connect account')}</a></div>
      ${this.#all.render((all) => (all.total === 0 ? this.#renderWelcome() : this.#renderAll(all.total)), 8)}`
  }

  #renderWelcome(): TemplateResult {
    return html`<section class="card empty">${icon('plug')}
      <h2>${t('Connect your first account')}</h2>
      <p>${t('Pick a provider and approve once on its page. Your apps then use one address and one key that never expires.')}</p>
      <a class="button primary" href="#/connect">${t('Connect account')}</a></section>`
  }

  #renderAll(total: number): TemplateResult {
    return html`
      ${this.#urgent.render((urgent) => this.#renderUrgent(urgent), 1)}
      ${this.#usage.render(({ items }) => this.#renderTotals(items), 3)}
      <section class="card" aria-labelledby="configs-title">
        <div class="heading"><h2 id="configs-title">${t('Accounts')} <span class="quiet">${count(total)}</span></h2>
          <div class="tools">
            ${this.#list.renderSearch()}
            <label><span class="visually-hidden">${t('Show')}</span>
              <select @change=${(event: Event) => this.#show((event.target as HTMLSelectElement).value as keyof typeof FILTERS)}>
                ${Object.entries(FILTERS).map(([name, [text]]) => html`<option value=${name} ?selected=${name === this.filter}>${t(text)}</option>`)}
              </select></label>
          </div></div>
        ${this.#list.render((list) => this.#renderList(list), 6)}
      </section>`
  }

  #renderUrgent({ total, items }: ModelConfigPage): TemplateResult {
    const trouble = this.#trouble.value?.what
    if (trouble !== undefined) return renderTrouble(trouble)
    if (total === 0) return html`<p class="note good">${icon('check')}${t('Nothing needs you.')}</p>`
    return html`<section class="card urgent" aria-labelledby="urgent-title">
      <h2 id="urgent-title">${icon('alert')}${t('{n} accounts need you', { n: count(total) })}</h2>
      <ul class="rows">${items.map(
        (
          config,
        ) => html`<li><div><a class="name" href="#/configs/${config.id}" title=${config.name}>${config.name}</a>
            <span class="quiet">${config.provider} · ${t(shownState(config).text)}</span></div>
          <a class="button small primary" href="#/configs/${config.id}${isLookedAt(config) ? '' : '/login'}" aria-label="${actionText(config)}: ${config.name}">${actionText(config)}</a></li>`,
      )}</ul>
      ${total > items.length ? html`<button class="plain" @click=${() => this.#show('attention')}>${t('Show all')}</button>` : nothing}
    </section>`
  }

  #renderTotals(rows: readonly UsageRow[]): TemplateResult {
    const bars = hourlyBars(rows)
    const sum: UsageTotals = sumOf(rows)
    const tile = (text: Text, value: string, extra: TemplateResult | string = '') =>
      html`<div class="tile"><dt>${t(text)}</dt><dd>${value}</dd><dd class="extra">${extra}</dd></div>`
    return html`<dl class="tiles" aria-label=${t('Last 24 hours')}>
      ${tile('Requests, 24 h', count(sum.requests), sparkline(bars))}
      ${tile('Errors, 24 h', count(sum.errors), percent(sum.errors, sum.requests))}
      ${tile('Tokens, 24 h', count(sum.prompt + sum.completion), t('{in} in · {out} out', { in: count(sum.prompt), out: count(sum.completion) }))}
    </dl>`
  }

  #renderList(list: ModelConfigPage): TemplateResult {
    const { items } = list
    if (items.length === 0) return html`<p class="quiet">${t('Nothing matches.')}</p>`
    return html`<ul class="rows configs">${items.map((config) => this.#renderRow(config, this.#bars.value?.get(config.id) ?? []))}</ul>
      ${this.#list.renderPaging(list)}`
  }

  #renderRow(config: ModelConfigItem, rows: readonly UsageRow[]): TemplateResult {
    const { refreshed_at } = config.credential
    return html`<li><a class="row" href="#/configs/${config.id}">
      <span class="who"><strong title=${config.name}>${config.name}</strong><span class="quiet">${config.provider}</span></span>
      <span>${stateBadge(config)}</span>
      <span>${expiryBar(config)}</span>
      <span class="quiet refreshed">${refreshed_at === null ? '' : t('Refreshed {time}', { time: relative(refreshed_at) })}</span>
      <span class="spark-cell">${sparkline(hourlyBars(rows))}</span>
      ${icon('chevron')}</a></li>`
  }

  async #loadList(query: string): Promise<ModelConfigPage> {
    const configs = await get<ModelConfigPage>(
      `/api/models/configs?sort=-created_at&${query}${FILTERS[this.filter][1]}`,
    )
    const shown = configs.items.map(({ id }) => id).join(',')
    if (shown !== this.#barsOf) {
      this.#barsOf = shown
      void this.#bars.load()
    }
    return configs
  }

  /** It is summed over all accounts, and may hold up a small broker: everything else comes first. */
  async #loadUsage(): Promise<UsageAnswer> {
    await Promise.all([this.#list, this.#all, this.#urgent, this.#trouble].map(({ done }) => done))
    return get<UsageAnswer>(`/api/usage?group_by=hour&from=${lastDay()}`)
  }

  async #loadBars(): Promise<ReadonlyMap<string, readonly UsageRow[]>> {
    const usage = new Map<string, UsageRow[]>()
    if (this.#barsOf === '') return usage
    const { items } = await get<UsageAnswer>(
      `/api/usage?group_by=config&per=hour&from=${lastDay()}&config_id=${this.#barsOf}`,
    )
    for (const row of items) usage.set(row.group, [...(usage.get(row.group) ?? []), row])
    return usage
  }

  #show(filter: keyof typeof FILTERS): void {
    this.filter = filter
    this.#list.restart()
  }
}

/** As `/health/ready` names it. */
const TROUBLES: readonly Text[] = [
  'the database does not answer',
  'the database cannot be written',
  'the journal cannot be written',
  'TOKEN_ENCRYPTION_KEY does not open the database',
]

function renderTrouble(trouble: string): TemplateResult {
  const known = TROUBLES.find((text) => text === trouble)
  return html`<p class="note bad" role="alert">${icon('alert')}${t('The broker cannot do its work: {problem}', { problem: known ? t(known) : trouble })}</p>`
}

/** No login helps: its page says what does. */
function isLookedAt({ credential: { next_action } }: ModelConfigItem): boolean {
  return next_action === 'restore_provider' || next_action === 'edit_inputs'
}

function actionText(config: ModelConfigItem): string {
  if (isLookedAt(config)) return t('Look')
  return t(config.credential.next_action === 'set_api_key' ? 'Enter the key' : 'Log in again')
}

customElements.define('view-overview', Overview)
