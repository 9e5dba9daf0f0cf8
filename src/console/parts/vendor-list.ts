/** `<vendor-list>`: a card for each vendor, found by any word of its providers. */
import { html, nothing, type TemplateResult } from 'lit'
import type { ProviderItem } from '../../admin/config-answers.ts'
import { language } from '../settings.ts'
import { type Text, t } from '../texts.ts'
import { icon } from './icons.ts'
import { addressOf, byVendor, isReady, variantOf, vendorOf } from './provider-words.ts'
import { View } from './view.ts'

type Vendor = readonly [ProviderItem, ...ProviderItem[]]

/** More are found by their name. */
const MOST_CARDS = 60

class VendorList extends View {
  static override properties = { providers: {}, sought: { state: true } }
  declare providers: readonly ProviderItem[]
  declare protected sought: string

  constructor() {
    super()
    this.sought = ''
  }

  protected override render(): TemplateResult {
    const all = byVendor(this.providers) as readonly Vendor[]
    const found = all
      .filter((vendor) => wordsOf(vendor).includes(this.sought.toLowerCase()))
      .sort(([one], [other]) => vendorOf(one).localeCompare(vendorOf(other), language()))
    const shown = [
      ...found.filter(([first]) => isReady(first)),
      ...found.filter(([first]) => !isReady(first)),
    ]
    const cards = shown.slice(0, MOST_CARDS)
    const rest = found.length - cards.length
    return html`<label class="search wide">${icon('search')}<span class="visually-hidden">${t('Find a provider')}</span>
        <input type="search" placeholder=${t('Find a provider')} autocomplete="off" spellcheck="false" @input=${this.#seek} /></label>
      <div role="status">${found.length === 0 ? html`<p class="quiet">${t('Nothing matches.')}</p>` : nothing}</div>
      ${section(
        'Ready to connect',
        cards.filter(([first]) => isReady(first)),
      )}
      ${section(
        'Needs something beside the form',
        cards.filter(([first]) => !isReady(first)),
      )}
      ${rest > 0 ? html`<p class="quiet">${t('{n} more; narrow the search', { n: rest })}</p>` : nothing}`
  }

  readonly #seek = (event: Event) => {
    this.sought = (event.target as HTMLInputElement).value.trim()
  }
}

/** All that somebody may call it, in lower case. */
function wordsOf(vendor: Vendor): string {
  const words = vendor.flatMap((one) => [
    one.name,
    one.label,
    one.label_zh,
    one.vendor,
    one.vendor_zh,
    variantOf(one),
  ])
  return words.join('\n').toLowerCase()
}

function section(title: Text, vendors: readonly Vendor[]): TemplateResult | typeof nothing {
  if (vendors.length === 0) return nothing
  return html`<section><h2>${t(title)}</h2><ul class="choices">${vendors.map(card)}</ul></section>`
}

function card(vendor: Vendor): TemplateResult {
  const [first] = vendor
  return html`<li><a class="card" href=${addressOf(first)}>
    <span class="who"><strong>${vendorOf(first)}</strong>
      <span class="quiet">${[...new Set(vendor.map(variantOf))].join(' · ')}</span></span>${icon('chevron')}</a></li>`
}

customElements.define('vendor-list', VendorList)
