/** Line icons, 24 × 24, drawn in the colour of the text around them. */
import { html, type TemplateResult } from 'lit'

const PATHS = {
  overview: 'M4 13h6V4H4zM14 20h6v-9h-6zM14 8h6V4h-6zM4 20h6v-4H4z',
  plug: 'M9 3v5M15 3v5M6.5 8h11v3.5a5.5 5.5 0 0 1-11 0zM12 17v4',
  key: 'M8 20a4.5 4.5 0 1 1 0-9 4.5 4.5 0 0 1 0 9zM11.2 12.3 20 3.5M16.5 7l3 3M14 9.5l2 2',
  chat: 'M4 5h16v11H10l-4 4v-4H4zM8 9.5h8M8 12.5h5',
  chart: 'M4 4v16h16M8.5 16v-4M13 16V8M17.5 16v-6',
  list: 'M9 6h11M9 12h11M9 18h11M4.5 6h.01M4.5 12h.01M4.5 18h.01',
  check: 'M5 12.5 10 17.5 19 7',
  alert: 'M12 8v5M12 16.5h.01M12 3 2.5 20h19z',
  clock: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3.5 2',
  pause: 'M9 5v14M15 5v14',
  chevron: 'm9 5 7 7-7 7',
  plus: 'M12 5v14M5 12h14',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4',
  out: 'M14 4h5v16h-5M4 12h10M10.5 8.5 14 12l-3.5 3.5',
  tool: 'M14 6.5a4 4 0 0 1 5-3.9l-2.6 2.6 2.4 2.4L21.4 5a4 4 0 0 1-5.2 5.2L8 18.5a2.1 2.1 0 0 1-3-3l8.3-8.2',
} as const

export type Icon = keyof typeof PATHS

export function icon(name: Icon): TemplateResult {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`
}
