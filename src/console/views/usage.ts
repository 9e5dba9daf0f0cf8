/** What was used: by day, model, key and account. */
import { html, type TemplateResult } from 'lit'
import type { UsageAnswer, UsageRow } from '../../admin/answers.ts'
import { get } from '../api.ts'
import { chart, meter } from '../parts/chart.ts'
import { option } from '../parts/field.ts'
import { icon } from '../parts/icons.ts'
import { Loader } from '../parts/loader.ts'
import { count, percent } from '../parts/time.ts'
import { dailyBars, hourlyBars, lastDay, requestsOf, sumOf, tokensOf } from '../parts/usage-rows.ts'
import { View } from '../parts/view.ts'
import { type Text, t } from '../texts.ts'

const SPANS = [1, 7, 30, 90] as const
const GROUPS = ['model', 'key', 'config'] as const
type Group = (typeof GROUPS)[number]
const TITLES: Record<Group, Text> = { model: 'By model', key: 'By key', config: 'By account' }
const SHOWN = 20

interface Answer {
  readonly days: readonly string[]
  readonly byTime: readonly UsageRow[]
  readonly by: Record<Group, readonly UsageRow[]>
}

class UsageView extends View {
  #span: (typeof SPANS)[number] = 7
  #isTokens = false
  readonly #usage = new Loader(this, () => this.#load())

  protected override refresh(): void {
    void this.#usage.load()
  }

  protected override render(): TemplateResult {
    return html`<div class="heading"><h1 tabindex="-1">${t('Usage')}</h1>
        <fieldset class="segments"><legend class="visually-hidden">${t('Span')}</legend>${SPANS.map(
          (
            days,
          ) => html`<label><input type="radio" name="span" .checked=${days === this.#span} @change=${() => this.#show(days)} />
            <span>${days === 1 ? t('24 hours') : t('{n} days', { n: days })}</span></label>`,
        )}</fieldset></div>
      ${this.#usage.render((answer) => (answer.byTime.length === 0 ? renderNone() : this.#renderAnswer(answer)), 8)}`
  }

  #renderAnswer({ days, byTime, by }: Answer): TemplateResult {
    const sum = sumOf(byTime)
    const pick = this.#isTokens ? tokensOf : requestsOf
    const bars = this.#span === 1 ? hourlyBars(byTime, pick) : dailyBars(byTime, days, pick)
    const tile = (text: Text, value: string, extra = '') =>
      html`<div class="tile"><dt>${t(text)}</dt><dd>${value}</dd><dd class="extra">${extra}</dd></div>`
    return html`<dl class="tiles">
        ${tile('Requests', count(sum.requests))}
        ${tile('Errors', count(sum.errors), percent(sum.errors, sum.requests))}
        ${tile('Tokens in', count(sum.prompt))}${tile('Tokens out', count(sum.completion))}
      </dl>
      <section class="card">
        <div class="heading"><h2>${t(this.#span === 1 ? 'By hour' : 'By day')}</h2>
          <label><span class="visually-hidden">${t('Show')}</span><select @change=${this.#measure}>
            ${option('requests', t('Requests'))}${option('tokens', t('Tokens'), this.#isTokens)}</select></label></div>
        ${chart(bars, t(this.#isTokens ? 'Tokens' : 'Requests'))}
        <details><summary>${t('As a table')}</summary>${table(
          t(this.#span === 1 ? 'Hour' : 'Day'),
          bars.map((bar) => [bar.label, count(bar.value), count(bar.errors)]),
          this.#isTokens,
        )}</details>
      </section>
      ${GROUPS.map((group) => renderGroup(group, by[group]))}`
  }

  async #load(): Promise<Answer> {
    const isDay = this.#span === 1
    const days = daysUntilToday(this.#span)
    const from = isDay ? String(lastDay()) : (days[0] ?? '')
    const query = `from=${from}&utc_offset=${-new Date().getTimezoneOffset()}`
    const rows = async (group: string) =>
      (await get<UsageAnswer>(`/api/usage?group_by=${group}&${query}`)).items
    const [byTime, model, key, config] = await Promise.all([
      rows(isDay ? 'hour' : 'day'),
      ...GROUPS.map(rows),
    ])
    return { days, byTime: byTime ?? [], by: { model: model ?? [], key: key ?? [], config: config ?? [] } }
  }

  #show(span: (typeof SPANS)[number]): void {
    this.#span = span
    this.refresh()
    this.requestUpdate()
  }

  readonly #measure = (event: Event) => {
    this.#isTokens = (event.target as HTMLSelectElement).value === 'tokens'
    this.requestUpdate()
  }
}

function renderGroup(group: Group, rows: readonly UsageRow[]): TemplateResult {
  const sorted = rows.toSorted((a, b) => b.requests - a.requests)
  const most = sorted[0]?.requests ?? 0
  return html`<section class="card"><h2>${t(TITLES[group])}</h2>
    <ul class="rows usage">${sorted.slice(0, SHOWN).map(
      (
        row,
      ) => html`<li><span class="name">${row.name ?? nameOf(row, group)}</span>${meter(row.requests, most)}
        <span>${count(row.requests)}${row.errors > 0 ? html` <span class="bad">${t('{n} errors', { n: count(row.errors) })}</span>` : ''}</span>
        <span class="quiet">${t('{in} in · {out} out', { in: count(row.prompt_tokens), out: count(row.completion_tokens) })}</span></li>`,
    )}</ul>
    ${sorted.length > SHOWN ? html`<p class="quiet">${t('and {n} more', { n: count(sorted.length - SHOWN) })}</p>` : ''}</section>`
}

function nameOf({ group }: UsageRow, by: Group): string {
  if (by === 'model') return group === '' ? t('no model named') : group
  return t('deleted ({id})', { id: group.slice(0, 8) })
}

function table(first: string, rows: readonly (readonly string[])[], isTokens: boolean): TemplateResult {
  const heads = [first, t(isTokens ? 'Tokens' : 'Requests'), t('Errors')]
  return html`<table><thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
    <tbody>${rows.map(([name, ...cells]) => html`<tr><th scope="row">${name}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`)}</tbody></table>`
}

function renderNone(): TemplateResult {
  return html`<section class="card empty">${icon('chart')}<h2>${t('Nothing was used in this span')}</h2>
    <p>${t('Calls show up here within seconds. Days begin at {time} where you are.', { time: '00:00' })}</p></section>`
}

/** Local dates, the oldest first. */
function daysUntilToday(span: number): string[] {
  return Array.from({ length: span }, (_, index) => {
    const day = new Date()
    day.setDate(day.getDate() - (span - 1 - index))
    return [day.getFullYear(), day.getMonth() + 1, day.getDate()]
      .map((part) => String(part).padStart(2, '0'))
      .join('-')
  })
}

customElements.define('view-usage', UsageView)
