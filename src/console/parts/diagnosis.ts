/** What came of trying an account. Both languages are at hand, for the page's may change. */
import { html, nothing, type TemplateResult } from 'lit'
import type { Diagnosis } from '../../admin/config-answers.ts'
import { post } from '../api.ts'
import { language } from '../settings.ts'
import { type Text, t } from '../texts.ts'
import { icon } from './icons.ts'

const CHECKS: Readonly<Record<string, Text>> = {
  login: 'Login',
  expiry: 'Expiry',
  refresh: 'Refresh',
  source: 'Identity',
  clock: 'Clock',
  host: 'Address',
  completion: 'One token',
  sisters: 'Whose key',
}

/** @throws ApiError */
export function diagnose(configId: string): Promise<Diagnosis> {
  return post<Diagnosis>(`/api/models/configs/${configId}/diagnose?lang=en`)
}

export function causeOf(diagnosis: Diagnosis): string {
  return language() === 'zh' ? diagnosis.cause_zh : diagnosis.cause
}

/** What to do, and where. */
export function renderAdvice(diagnosis: Diagnosis): TemplateResult {
  return html`<p>${language() === 'zh' ? diagnosis.advice_zh : diagnosis.advice}</p>
    ${diagnosis.help_url === null ? nothing : html`<p>${outwards(diagnosis.help_url, t('Open the provider’s page'))}</p>`}`
}

export function renderDiagnosis(diagnosis: Diagnosis): TemplateResult {
  const { ok, checks } = diagnosis
  return html`<section class="card" aria-labelledby="diagnosis-title">
    <h2 id="diagnosis-title" class=${ok ? 'good' : 'bad'}>${icon(ok ? 'check' : 'alert')}${causeOf(diagnosis)}</h2>
    ${ok ? nothing : renderAdvice(diagnosis)}
    ${renderChecks(checks)}</section>`
}

/** What was looked at, and what was found. */
export function renderChecks(checks: Diagnosis['checks']): TemplateResult {
  return html`<ul class="rows checks">${checks.map(
    ({ name, ok, detail, detail_zh }) =>
      html`<li><span class="badge ${ok ? 'good' : 'bad'}">${icon(ok ? 'check' : 'alert')}${t(CHECKS[name] ?? 'Check')}</span>
        <span class="quiet wrap">${language() === 'zh' ? detail_zh : detail}</span></li>`,
  )}</ul>`
}

/** A page of somebody else's, in a tab of its own. */
export function outwards(address: string, text: string): TemplateResult {
  return html`<a href=${address} target="_blank" rel="noreferrer noopener">${text}
    <span class="visually-hidden">(${t('opens in a new tab')})</span></a>`
}
