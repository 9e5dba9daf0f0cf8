/** What happened to credentials, in words. */
import { html, nothing, type TemplateResult } from 'lit'
import { type Text, t } from '../texts.ts'
import type { AuditEvent } from '../types.ts'
import { type Icon, icon } from './icons.ts'
import { dateTime, relative } from './time.ts'

const TYPES: Readonly<Record<string, readonly [Text, 'good' | 'warn' | 'bad', Icon]>> = {
  'credential.refreshed': ['Refreshed', 'good', 'check'],
  'credential.recovered': ['Connected again', 'good', 'check'],
  'credential.uncertain': ['Uncertain', 'warn', 'alert'],
  'credential.expiring': ['Expires soon', 'warn', 'clock'],
  'credential.reauth_required': ['Login needed', 'bad', 'alert'],
}

/** @param isNamed with the account each belongs to */
export function auditList(events: readonly AuditEvent[], isNamed = false): TemplateResult {
  if (events.length === 0) return html`<p class="quiet">${t('Nothing has happened yet.')}</p>`
  return html`<ul class="rows audit">${events.map((event) => {
    const [text, tone, sign] = TYPES[event.type] ?? [undefined, 'warn', 'list']
    return html`<li><span class="badge ${tone}">${icon(sign as Icon)}${text ? t(text) : event.type}</span>
      ${isNamed ? html`<a href="#/configs/${event.config_id}">${event.config_name}</a>` : nothing}
      <span class="quiet wrap">${event.reason}</span>
      <time class="quiet" datetime=${new Date(event.created_at).toISOString()} title=${dateTime(event.created_at)}>${relative(event.created_at)}</time></li>`
  })}</ul>`
}
