/** A new account: stored, tried, and what came of it. It is called connected only once it has worked. */
import { html, nothing, type TemplateResult } from 'lit'
import type { Diagnosis, ModelConfigItem, ProviderItem } from '../../admin/config-answers.ts'
import { type Text, t } from '../texts.ts'
import { causeOf, renderAdvice, renderChecks } from './diagnosis.ts'
import { type Icon, icon } from './icons.ts'

export interface Made {
  readonly config: ModelConfigItem
  readonly provider: ProviderItem
  /** Undefined: under way, or it could not be asked. */
  readonly diagnosis: Diagnosis | undefined
}

/** @param problem why it could not be tried @param again tries it once more */
export function renderMade(made: Made, problem: string | undefined, again: () => void): TemplateResult {
  const { config, provider, diagnosis } = made
  const { name } = config
  const next = html`<button @click=${again}>${t('Try again')}</button>${renderMending(made)}`
  const untried = t('{name} is stored, not tried yet.', { name })
  if (problem !== undefined) {
    return card(config, { sign: 'alert', tone: 'warn', title: untried, text: html`<p>${problem}</p>`, next })
  }
  if (!diagnosis) return card(config, { sign: 'clock', title: t('{name} is stored. Trying it …', { name }) })
  if (!diagnosis.ok) {
    const isUntried = diagnosis.code === 'no_model'
    const title = isUntried ? untried : t('{name} is stored, but does not work yet.', { name })
    const text = html`<p><strong>${causeOf(diagnosis)}</strong></p>${renderAdvice(diagnosis)}
      ${renderChecks(diagnosis.checks.filter(({ ok }) => !ok))}`
    return card(config, { sign: 'alert', tone: isUntried ? 'warn' : 'bad', title, text, next })
  }
  const connected = { sign: 'check', tone: 'good', title: t('{name} is connected.', { name }) } as const
  if (!provider.serves_completions) {
    return card(config, { ...connected, text: html`<p>${t(ONLY_A_LOGIN)}</p>` })
  }
  return card(config, {
    ...connected,
    text: html`<p>${t('A call was answered. Make a key for an app, or talk to it.')}</p>`,
    next: html`<a class="button primary" href="#/playground">${t('Open the playground')}</a>
      <a class="button" href="#/keys">${t('Create a key')}</a>`,
  })
}

/** To what it was given. */
function renderMending({ config: { id }, provider: { credential, inputs } }: Made): TemplateResult {
  const link = (place: string, text: Text) =>
    html`<a class="button" href="#/configs/${id}/${place}">${t(text)}</a>`
  return html`${credential === 'api_key' ? link('login', 'Enter the key') : nothing}
    ${inputs.length > 0 ? link('change', 'Change') : nothing}`
}

export const ONLY_A_LOGIN =
  'This provider keeps a login alive and serves no completions: programs get its token from the broker.'

interface Card {
  readonly sign: Icon
  readonly tone?: 'good' | 'warn' | 'bad'
  readonly title: string
  readonly text?: TemplateResult
  readonly next?: TemplateResult
}

function card({ id }: ModelConfigItem, { sign, tone, title, text, next }: Card): TemplateResult {
  return html`<section class="card empty ${tone ?? ''}" aria-busy=${tone === undefined}>${icon(sign)}
    <h2 tabindex="-1">${title}</h2>
    ${text ?? nothing}
    <div class="actions">${next ?? nothing}<a class="button" href="#/configs/${id}">${t('Details')}</a></div></section>`
}
