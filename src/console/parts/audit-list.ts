/** Who did what, and what happened to credentials, in words. */
import { html, nothing, type TemplateResult } from 'lit'
import type { AuditEvent } from '../../admin/answers.ts'
import { type Text, t } from '../texts.ts'
import { type Icon, icon } from './icons.ts'
import { count, dateTime, relative } from './time.ts'

const TYPES: Readonly<Record<string, readonly [Text, 'good' | 'warn' | 'bad' | 'quiet', Icon]>> = {
  'credential.refreshed': ['Refreshed', 'good', 'check'],
  'credential.recovered': ['Connected again', 'good', 'check'],
  'credential.uncertain': ['Uncertain', 'warn', 'alert'],
  'credential.expiring': ['Expires soon', 'warn', 'clock'],
  'credential.refused': ['Refused', 'bad', 'alert'],
  'credential.reauth_required': ['Login needed', 'bad', 'alert'],
  'credential.tampered': ['Changed without the key', 'bad', 'alert'],
  'config.created': ['Account created', 'quiet', 'plus'],
  'config.updated': ['Account changed', 'quiet', 'tool'],
  'config.deleted': ['Account deleted', 'warn', 'out'],
  'config.login_asked': ['Login asked for', 'quiet', 'clock'],
  'config.login': ['Logged in', 'good', 'check'],
  'config.refresh_asked': ['Refresh asked for', 'quiet', 'clock'],
  'config.diagnosed': ['Tested', 'quiet', 'search'],
  'token.read': ['Token read', 'warn', 'key'],
  'key.created': ['Key created', 'quiet', 'key'],
  'key.updated': ['Key changed', 'quiet', 'key'],
  'key.rotated': ['Key rotated', 'quiet', 'key'],
  'key.deleted': ['Key revoked', 'warn', 'key'],
  'login.completed': ['Login approved', 'good', 'plug'],
  'console.signed_in': ['Signed in', 'quiet', 'plug'],
  'console.signed_out': ['Signed out', 'quiet', 'out'],
  'access.refused': ['Access refused', 'bad', 'alert'],
  'grant.revoked': ['Grant revoked', 'quiet', 'check'],
  'grant.not_revoked': ['Grant not revoked', 'warn', 'alert'],
}

export const ACTORS: Readonly<Record<string, Text>> = {
  'admin token': 'Admin token',
  console: 'Console',
  'login link': 'Login link',
  'api key': 'API key',
  onboarding: 'Onboarding',
  'command line': 'Command line',
  system: 'The broker itself',
}

/** @param isNamed with the account or key each belongs to */
export function auditList(events: readonly AuditEvent[], isNamed = false): TemplateResult {
  if (events.length === 0) return html`<p class="quiet">${t('Nothing has happened yet.')}</p>`
  return html`<ul class="rows audit">${events.map((event) => {
    const [text, tone, sign] = TYPES[event.type] ?? [undefined, 'warn', 'list']
    return html`<li><span class="badge ${tone}">${icon(sign as Icon)}${text ? t(text) : event.type}${event.count > 1 ? html` × ${count(event.count)}` : nothing}</span>
      ${isNamed ? subjectOf(event) : nothing}
      <span class="quiet wrap">${moreOf(event).join(' · ')}</span>
      <time class="quiet" datetime=${new Date(event.last_at).toISOString()} title=${dateTime(event.last_at)}>${relative(event.last_at)}</time></li>`
  })}</ul>`
}

function subjectOf({ config_id, config_name, key_name, provider }: AuditEvent): TemplateResult {
  if (config_id) return html`<a href="#/configs/${config_id}">${config_name ?? config_id}</a>`
  return html`<span class="subject">${key_name ?? provider ?? ''}</span>`
}

/** Who, from where, what changed, why. */
function moreOf({ actor, address, reason, details }: AuditEvent): string[] {
  const who = actor === 'system' ? undefined : (ACTORS[actor] ?? undefined)
  const changes = (details?.changed ?? []).map((field) => {
    const [from, to] = [details?.from?.[field], details?.to?.[field]]
    return to === undefined ? field : `${field}: ${from} → ${to}`
  })
  const parts = [who && t(who), address, ...changes, reason]
  return parts.filter((part) => part !== undefined && part !== null).filter((part) => part !== '')
}
