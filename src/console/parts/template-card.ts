/** A provider whose file is a template: what to write before accounts can be connected. */
import { html, type nothing, type TemplateResult } from 'lit'
import type { ProviderItem } from '../../admin/config-answers.ts'
import { t } from '../texts.ts'
import './copy-button.ts'

/** @param configFile what CONFIG_FILE names, if it is set */
export function renderTemplate(
  { label }: ProviderItem,
  lines: string,
  configFile: string | null,
  help: TemplateResult | typeof nothing,
): TemplateResult {
  const text =
    configFile === null
      ? t(
          'It needs values of yours. Write these lines with them to a file, name it in CONFIG_FILE, and start the broker again.',
        )
      : t('It needs values of yours. Write these lines with them to {file}, and start the broker again.', {
          file: configFile,
        })
  return html`<section class="card form"><h2>${label}</h2>
    <p class="wrap">${text}</p>${help}
    <div class="snippet"><pre tabindex="0">${lines}</pre>
      <copy-button .text=${lines} .label=${t('Copy the lines')}></copy-button></div></section>`
}
