/**
 * Times and numbers in the words of the chosen language.
 */
import { language } from '../settings.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

const locale = () => (language() === 'zh' ? 'zh-CN' : 'en')

/** “in 42 minutes”, “3 hours ago”. */
export function relative(at: number): string {
  const ms = at - Date.now()
  const size = Math.abs(ms)
  const format = new Intl.RelativeTimeFormat(locale(), { numeric: 'always', style: 'short' })
  if (size < 45 * SECOND)
    return new Intl.RelativeTimeFormat(locale(), { numeric: 'auto' }).format(0, 'second')
  if (size < 90 * MINUTE) return format.format(Math.round(ms / MINUTE), 'minute')
  if (size < 2 * DAY) return format.format(Math.round(ms / HOUR), 'hour')
  return format.format(Math.round(ms / DAY), 'day')
}

export function dateTime(at: number): string {
  return new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeStyle: 'short' }).format(at)
}

export function date(at: number): string {
  return new Intl.DateTimeFormat(locale(), { dateStyle: 'medium' }).format(at)
}

/** Short enough for an axis. */
export function dayAndMonth(at: number): string {
  return new Intl.DateTimeFormat(locale(), { month: 'short', day: 'numeric' }).format(at)
}

export function hourOfDay(at: number): string {
  return new Intl.DateTimeFormat(locale(), { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(
    at,
  )
}

export function count(value: number): string {
  const isLong = value >= 100_000
  return new Intl.NumberFormat(
    locale(),
    isLong ? { notation: 'compact', maximumFractionDigits: 1 } : {},
  ).format(value)
}

export function percent(part: number, whole: number): string {
  return new Intl.NumberFormat(locale(), { style: 'percent', maximumFractionDigits: 1 }).format(
    whole === 0 ? 0 : part / whole,
  )
}
