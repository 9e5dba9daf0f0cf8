/** What the console says of providers: their kinds, their vendors, and what tells those of one vendor apart. */
import { html, nothing, type TemplateResult } from 'lit'
import type { CredentialKind, ProviderItem } from '../../admin/config-answers.ts'
import { language } from '../settings.ts'
import { type Text, t } from '../texts.ts'
import { outwards } from './diagnosis.ts'

/** Those come first that people have in most cases. */
const KINDS: Readonly<Record<CredentialKind, Text>> = {
  api_key: 'API key',
  device_code: 'Log in with a code',
  authorization_code: 'Log in with the browser',
  session: 'Web session',
  client_credentials: 'Client credentials',
  token_exchange: 'Token exchange',
  jwt_bearer: 'Signed assertion',
  aws_sigv4: 'AWS keys',
  signed_jwt: 'Signed by this broker',
  token_request: 'Vendor’s own tokens',
}

/** Of what the provider's page is for. */
const HELP: Readonly<Record<CredentialKind, Text>> = {
  device_code: 'The provider’s page for accounts',
  authorization_code: 'The provider’s page for accounts',
  api_key: 'Where to get a key',
  session: 'The page to sign in at',
  client_credentials: 'Where to register a client',
  token_exchange: 'Where to set up the trust',
  jwt_bearer: 'Where to set up the trust',
  aws_sigv4: 'Where to allow access',
  signed_jwt: 'Where to get a key',
  token_request: 'The provider’s page for accounts',
}

export function labelOf({ label, label_zh }: ProviderItem): string {
  return language() === 'zh' ? label_zh : label
}

export function vendorOf({ vendor, vendor_zh }: ProviderItem): string {
  return language() === 'zh' ? vendor_zh : vendor
}

/** The plan or the way to authenticate. */
export function variantOf({ variant, variant_zh, credential }: ProviderItem): string {
  return (language() === 'zh' ? variant_zh : variant) ?? t(KINDS[credential])
}

/** Of those of one variant. */
export function regionOf(provider: ProviderItem): string {
  return (language() === 'zh' ? provider.region_zh : provider.region) ?? labelOf(provider)
}

/** Whether its form is all that it needs. */
export function isReady({ missing_lines, missing_variables }: ProviderItem): boolean {
  return missing_lines === null && missing_variables.length === 0
}

/** By vendor; of each that first which needs least, and of those alike the plain one of the kind that most people have. */
export function byVendor(providers: readonly ProviderItem[]): readonly (readonly ProviderItem[])[] {
  const kinds = Object.keys(KINDS)
  const rank = ({ missing_lines, missing_variables, credential, variant }: ProviderItem) => [
    missing_lines === null ? Math.min(missing_variables.length, 1) : 2,
    kinds.indexOf(credential),
    variant === null ? 0 : 1,
  ]
  const ranked = [...providers].sort((one, other) => {
    const others = rank(other)
    const differences = rank(one).map((place, at) => place - (others[at] ?? 0))
    return differences.find((difference) => difference !== 0) ?? one.name.localeCompare(other.name, 'en')
  })
  return [...Map.groupBy(ranked, ({ vendor }) => vendor).values()]
}

export function renderHelp({ help_url, credential }: ProviderItem): TemplateResult | typeof nothing {
  return help_url === null ? nothing : html`<p>${outwards(help_url, t(HELP[credential]))}</p>`
}

export function addressOf({ name }: ProviderItem): string {
  return `#/connect/${encodeURIComponent(name)}`
}
