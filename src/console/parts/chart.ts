/**
 * Bars of requests with their errors in front. Drawn as SVG with attributes only: the page allows no inline style.
 */
import { html, nothing, svg, type TemplateResult } from 'lit'
import { t } from '../texts.ts'
import { count } from './time.ts'

export interface Bar {
  readonly label: string
  readonly value: number
  readonly errors: number
}

/** So many bars have room for a label each. */
const FEW = 8

/** Small, without axes. */
export function sparkline(bars: readonly Bar[]): TemplateResult {
  return html`<svg class="spark" role="img" aria-label=${summaryOf(bars)} viewBox="0 0 ${bars.length * 4} 24" preserveAspectRatio="none">
    ${drawBars(bars, 24, 4, 1)}
  </svg>`
}

/** With the highest value and the first and last label. */
export function chart(bars: readonly Bar[], title: string): TemplateResult {
  const most = Math.max(...bars.map((bar) => bar.value), 0)
  const isFew = bars.length <= FEW
  const labels = isFew ? bars : [bars[0], bars.at(-1)]
  return html`<figure class="chart">
    <figcaption><span>${title}</span>${most > 0 ? html`<span class="quiet">${t('highest {n}', { n: count(most) })}</span>` : nothing}</figcaption>
    <svg role="img" aria-label="${title}: ${summaryOf(bars)}" viewBox="0 0 ${bars.length * 12} 100" preserveAspectRatio="none">
      ${drawBars(bars, 100, 12, isFew ? 6 : 2)}
    </svg>
    <div class="axis ${isFew ? 'even' : ''}" aria-hidden="true">${labels.map((bar) => html`<span>${bar?.label}</span>`)}</div>
  </figure>`
}

/** A part of a whole, for lists. */
export function meter(value: number, most: number, tone = ''): TemplateResult {
  const width = most === 0 ? 0 : Math.max(1, (100 * value) / most)
  return html`<svg class="meter ${tone}" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
    <rect class="track" width="100" height="6" /><rect class="fill" width=${width} height="6" />
  </svg>`
}

function drawBars(bars: readonly Bar[], height: number, step: number, gap: number): TemplateResult[] {
  const most = Math.max(...bars.map((bar) => bar.value), 1)
  return bars.map((bar, index) => {
    const [all, failed] = [bar.value, bar.errors].map((n) =>
      n === 0 ? 0 : Math.max(1.5, (n / most) * (height - 1)),
    )
    const x = index * step + gap / 2
    const width = step - gap
    return svg`<g><title>${bar.label}: ${count(bar.value)}${bar.errors > 0 ? ` (${t('{n} errors', { n: count(bar.errors) })})` : ''}</title>
      <rect class="base" x=${x} y=${height - 1} width=${width} height="1" />
      <rect class="all" x=${x} y=${height - (all ?? 0)} width=${width} height=${all ?? 0} />
      <rect class="failed" x=${x} y=${height - (failed ?? 0)} width=${width} height=${failed ?? 0} /></g>` as unknown as TemplateResult
  })
}

function summaryOf(bars: readonly Bar[]): string {
  const sum = (pick: (bar: Bar) => number) => bars.reduce((total, bar) => total + pick(bar), 0)
  const errors = sum((bar) => bar.errors)
  const total = count(sum((bar) => bar.value))
  return errors > 0 ? `${total} (${t('{n} errors', { n: count(errors) })})` : total
}
