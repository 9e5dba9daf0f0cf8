/** “21–40 of 500” and the way on. */
import { html, nothing, type TemplateResult } from 'lit'
import { t } from '../texts.ts'
import { count } from './time.ts'

/** As the API answers it. */
export interface ListPage {
  readonly total: number
  readonly page: number
  readonly page_size: number
  readonly items: readonly unknown[]
  /** Where the list is gone through by cursors; null: this is the last page. */
  readonly next_cursor?: string | null | undefined
}

export function paging(
  { total, page, page_size, items, next_cursor }: ListPage,
  go: (page: number) => void,
): TemplateResult | typeof nothing {
  const hasNext = next_cursor === undefined ? page * page_size < total : next_cursor !== null
  if (page === 1 && !hasNext) return nothing
  const from = (page - 1) * page_size + 1
  const range = t('{from}–{to} of {total}', {
    from: count(from),
    to: count(from + items.length - 1),
    total: count(total),
  })
  const step = (to: number, text: string, isThere: boolean) =>
    html`<button class="small" ?disabled=${!isThere} @click=${() => go(to)}>${text}</button>`
  return html`<nav class="paging" aria-label=${t('Pages')}>
    <span aria-live="polite">${range}</span>${step(page - 1, t('Previous'), page > 1)}${step(page + 1, t('Next'), hasNext)}
  </nav>`
}
