/** Everything that people did and that happened to credentials, newest first. */
import { html, type TemplateResult } from 'lit'
import type { AuditPage } from '../../admin/answers.ts'
import { get } from '../api.ts'
import { ACTORS, auditList } from '../parts/audit-list.ts'
import { option } from '../parts/field.ts'
import { PagedList } from '../parts/paged-list.ts'
import { View } from '../parts/view.ts'
import { type Text, t } from '../texts.ts'

const PAGE_SIZE = 50
const KINDS = {
  '': 'All',
  credential: 'Credentials',
  config: 'Accounts',
  key: 'Keys',
  'login,config.login,grant': 'Logins',
  'console,access': 'Sign-ins',
} as const satisfies Record<string, Text>

class AuditView extends View {
  #kind = ''
  #actor = ''
  readonly #events = new PagedList(
    this,
    (query) => get<AuditPage>(`/api/audit?${query}&${this.#filter()}`),
    PAGE_SIZE,
  )

  protected override refresh(): void {
    this.#events.reload()
  }

  protected override render(): TemplateResult {
    const kinds = Object.entries(KINDS).map(([kind, text]) => option(kind, t(text), kind === this.#kind))
    const actors = Object.entries(ACTORS).map(([actor, text]) =>
      option(actor, t(text), actor === this.#actor),
    )
    return html`<div class="heading"><h1 tabindex="-1">${t('Audit')}</h1>
        <div class="tools">
          ${this.#choice('What', kinds, (kind) => (this.#kind = kind))}
          ${this.#choice('Who', [option('', t('Anybody'), this.#actor === ''), ...actors], (actor) => (this.#actor = actor))}
        </div></div>
      <section class="card">${this.#events.render(
        (list) => html`${auditList(list.items, true)}${this.#events.renderPaging(list)}`,
        8,
      )}</section>`
  }

  #choice(label: Text, options: readonly TemplateResult[], take: (value: string) => void): TemplateResult {
    const change = (event: Event) => {
      take((event.target as HTMLSelectElement).value)
      this.#events.restart()
    }
    return html`<label><span class="visually-hidden">${t(label)}</span><select @change=${change}>${options}</select></label>`
  }

  #filter(): URLSearchParams {
    const filter = new URLSearchParams()
    if (this.#kind) filter.set('type', this.#kind)
    if (this.#actor) filter.set('actor', this.#actor)
    return filter
  }
}

customElements.define('view-audit', AuditView)
