/**
 * What a provider file says for people who look for theirs among many.
 */
import type { Said } from '../base/language.ts'
import { toSaid } from './inputs.ts'
import type { ProviderFile } from './provider-file.ts'
import { ProviderMistake } from './provider-mistake.ts'
import { missingLines } from './template.ts'

export interface Listing {
  readonly label: string
  readonly labels: Said
  /** Files of one vendor are shown as one; a file without is a vendor of its own. */
  readonly vendor: Said
  /** Among its vendor's: the plan or the way to authenticate; undefined: its kind of credential says enough. */
  readonly variant: Said | undefined
  /** Among those of the same variant. */
  readonly region: Said | undefined
  /** Where a person gets a key, a session or an account. */
  readonly helpUrl: string | undefined
  /** Of a template: what CONFIG_FILE is to say, as an example. Undefined: nothing is missing. */
  readonly missingLines: string | undefined
}

/** @throws ProviderMistake */
export function toListing(name: string, file: ProviderFile): Listing {
  const labels = toSaid(file.label ?? name)
  for (const word of ['variant', 'region'] as const) {
    if (file[word] !== undefined && file.vendor === undefined)
      throw new ProviderMistake([word], 'tells the files of one vendor apart: name the vendor')
  }
  return {
    label: labels.english,
    labels,
    vendor: file.vendor === undefined ? labels : toSaid(file.vendor),
    variant: file.variant === undefined ? undefined : toSaid(file.variant),
    region: file.region === undefined ? undefined : toSaid(file.region),
    helpUrl: toHelpUrl(file.help_url),
    missingLines: missingLines(name, file),
  }
}

/** A page for people: nothing is ever sent there. @throws ProviderMistake */
function toHelpUrl(text: string | undefined): string | undefined {
  if (text === undefined || (URL.canParse(text) && new URL(text).protocol === 'https:')) return text
  throw new ProviderMistake(['help_url'], 'must be an https URL')
}
