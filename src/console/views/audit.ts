/** Everything that people did and that happened to credentials, newest first. */
import { html, type TemplateResult } from 'lit'
import type { AuditPage } from '../../admin/answers.ts'
import { get } from '../api.ts'
import { ACTORS, auditList } from '../parts/audit-list.ts'
import { option } from '../parts/field.ts'
import { Loader } from '../parts/loader.ts'
import { paging } from '../parts/paging.ts'
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
  #page = 1
  #kind = ''
  #actor = ''
  readonly #events = new Loader(this, () => get<AuditPage>(`/api/audit?${this.#query()}`))

  protected override refresh(): void {
    void this.#events.load()
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
        (list) => html`${auditList(list.items, true)}
          ${paging(list, (page) => {
            this.#page = page
            this.refresh()
          })}`,
        8,
      )}</section>`
  }

  #choice(label: Text, options: readonly TemplateResult[], take: (value: string) => void): TemplateResult {
    const change = (event: Event) => {
      take((event.target as HTMLSelectElement).value)
      this.#page = 1
      this.refresh()
    }
    return html`<label><span class="visually-hidden">${t(label)}</span><select @change=${change}>${options}</select></label>`
  }

  #query(): URLSearchParams {
    const query = new URLSearchParams({ page: String(this.#page), page_size: String(PAGE_SIZE) })
    if (this.#kind) query.set('type', this.#kind)
    if (this.#actor) query.set('actor', this.#actor)
    return query
  }
}

customElements.define('view-audit', AuditView)
