/** What a vendor offers beside the provider that is chosen: other ways to authenticate, other regions. Each has an address. */
import { html, nothing, type TemplateResult } from 'lit'
import type { ProviderItem } from '../../admin/config-answers.ts'
import { type Text, t } from '../texts.ts'
import { addressOf, byVendor, regionOf, variantOf } from './provider-words.ts'

export function renderChoices(providers: readonly ProviderItem[], chosen: ProviderItem): TemplateResult {
  const vendor = byVendor(providers).find((members) => members.includes(chosen)) ?? []
  const variants = Map.groupBy(vendor, variantOf)
  const regions = variants.get(variantOf(chosen)) ?? []
  const others = [...variants.values()].map((members) => (members === regions ? chosen : members[0]))
  return html`${row('Authenticate by', others, variantOf, chosen)}${row('Region', regions, regionOf, chosen)}`
}

function row(
  title: Text,
  members: readonly (ProviderItem | undefined)[],
  textOf: (member: ProviderItem) => string,
  chosen: ProviderItem,
): TemplateResult | typeof nothing {
  if (members.length < 2) return nothing
  return html`<nav class="ways" aria-label=${t(title)}><span class="quiet" aria-hidden="true">${t(title)}</span>
    ${members.map((one) => one && html`<a class="button small" href=${addressOf(one)} aria-current=${one === chosen ? 'true' : nothing}>${textOf(one)}</a>`)}</nav>`
}
