/** “21–40 of 500” and the way on. */
import { html, nothing, type TemplateResult } from 'lit'
import { t } from '../texts.ts'
import { count } from './time.ts'

export function paging(
  page: number,
  pageSize: number,
  total: number,
  go: (page: number) => void,
): TemplateResult | typeof nothing {
  const last = Math.max(1, Math.ceil(total / pageSize))
  if (last === 1) return nothing
  const from = (page - 1) * pageSize + 1
  const range = t('{from}–{to} of {total}', {
    from: count(from),
    to: count(Math.min(total, from + pageSize - 1)),
    total: count(total),
  })
  const step = (to: number, text: string) =>
    html`<button class="small" ?disabled=${to < 1 || to > last} @click=${() => go(to)}>${text}</button>`
  return html`<nav class="paging" aria-label=${t('Pages')}>
    <span aria-live="polite">${range}</span>${step(page - 1, t('Previous'))}${step(page + 1, t('Next'))}
  </nav>`
}
