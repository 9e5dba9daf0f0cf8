/** Everything that happened to credentials, newest first. */
import { html, type TemplateResult } from 'lit'
import { get } from '../api.ts'
import { auditList } from '../parts/audit-list.ts'
import { Loader } from '../parts/loader.ts'
import { paging } from '../parts/paging.ts'
import { View } from '../parts/view.ts'
import { t } from '../texts.ts'
import type { AuditEvent, Page } from '../types.ts'

const PAGE_SIZE = 50

class AuditView extends View {
  #page = 1
  readonly #events = new Loader(this, () =>
    get<Page<AuditEvent>>(`/api/audit?page=${this.#page}&page_size=${PAGE_SIZE}`),
  )

  protected override refresh(): void {
    void this.#events.load()
  }

  protected override render(): TemplateResult {
    return html`<div class="heading"><h1 tabindex="-1">${t('Audit')}</h1></div>
      <section class="card">${this.#events.render(
        ({ items, total }) => html`${auditList(items, true)}
          ${paging(this.#page, PAGE_SIZE, total, (page) => {
            this.#page = page
            this.refresh()
          })}`,
        8,
      )}</section>`
  }
}

customElements.define('view-audit', AuditView)
