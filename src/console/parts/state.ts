/** A credential's state in words, a colour and a sign: never by the colour alone. */
import { html, type TemplateResult } from 'lit'
import type { ModelConfigItem } from '../../admin/config-answers.ts'
import { type Text, t } from '../texts.ts'
import { meter } from './chart.ts'
import { type Icon, icon } from './icons.ts'
import { relative } from './time.ts'

interface Shown {
  readonly text: Text
  readonly tone: 'good' | 'warn' | 'bad' | 'idle'
  readonly icon: Icon
}

export function shownState(config: ModelConfigItem): Shown {
  const { is_active, credential } = config
  if (!is_active) return { text: 'Disabled', tone: 'idle', icon: 'pause' }
  if (credential.next_action === 'restore_provider')
    return { text: 'Provider file missing', tone: 'bad', icon: 'alert' }
  switch (credential.state) {
    case 'active':
      if (!isProven(config)) return { text: 'Not tried yet', tone: 'idle', icon: 'clock' }
      return { text: 'Active', tone: 'good', icon: 'check' }
    case 'refreshing':
      return { text: 'Refreshing', tone: 'good', icon: 'clock' }
    case 'cooling_down':
      // A session that its server does not extend: it still serves, and no retry will help.
      if (credential.next_action === 'login') return { text: 'Login needed', tone: 'warn', icon: 'clock' }
      return { text: 'Waiting to retry', tone: 'warn', icon: 'clock' }
    case 'uncertain':
      return { text: 'Uncertain', tone: 'warn', icon: 'alert' }
    case 'refused':
      return { text: 'Refused', tone: 'bad', icon: 'alert' }
    case 'reauth_required':
      return { text: 'Login needed', tone: 'bad', icon: 'alert' }
    case 'missing':
      return { text: 'Not connected', tone: 'bad', icon: 'alert' }
  }
}

/** Upstream took it, or the server that it is from has renewed it since it was connected. */
function isProven({ created_at, credential: { accepted_at, refreshed_at } }: ModelConfigItem): boolean {
  return accepted_at !== null || (refreshed_at ?? 0) > created_at
}

export function stateBadge(config: ModelConfigItem): TemplateResult {
  const { text, tone, icon: sign } = shownState(config)
  return html`<span class="badge ${tone}">${icon(sign)}${t(text)}</span>`
}

/** How much of its life a token has left. */
export function expiryBar({ credential, created_at }: ModelConfigItem): TemplateResult {
  const { expires_at: end, refreshed_at, kind, state } = credential
  if (state === 'reauth_required' || state === 'missing') return html`<span class="quiet">–</span>`
  if (end === null || end === 0)
    return html`<span class="quiet">${t(kind === 'api_key' ? 'Does not expire' : 'Not known')}</span>`
  const now = Date.now()
  const start = Math.min(refreshed_at ?? created_at, end)
  const left = Math.max(0, Math.min(1, (end - now) / Math.max(end - start, 1)))
  const text =
    end <= now ? t('Expired {time}', { time: relative(end) }) : t('Expires {time}', { time: relative(end) })
  return html`<span class="expiry">${meter(left, 1, left === 0 ? 'bad' : left < 0.15 ? 'warn' : '')}<span>${text}</span></span>`
}
