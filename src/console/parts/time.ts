/**
 * Times and numbers in the words of the chosen language.
 */
import { language } from '../settings.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** To make a format takes longer than to use it a hundred times, and a page of the list shows five hundred hours. */
function inLanguage<T>(make: (locale: string) => T): () => T {
  const made = new Map<string, T>()
  return () => {
    const locale = language() === 'zh' ? 'zh-CN' : 'en'
    const known = made.get(locale) ?? make(locale)
    made.set(locale, known)
    return known
  }
}

function dates(options: Intl.DateTimeFormatOptions): (at: number) => string {
  const format = inLanguage((locale) => new Intl.DateTimeFormat(locale, options))
  return (at) => format().format(at)
}

function numbers(options: Intl.NumberFormatOptions): (value: number) => string {
  const format = inLanguage((locale) => new Intl.NumberFormat(locale, options))
  return (value) => format().format(value)
}

const away = inLanguage(
  (locale) => new Intl.RelativeTimeFormat(locale, { numeric: 'always', style: 'short' }),
)
const now = inLanguage((locale) => new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }))

/** “in 42 minutes”, “3 hours ago”. */
export function relative(at: number): string {
  const ms = at - Date.now()
  const size = Math.abs(ms)
  if (size < 45 * SECOND) return now().format(0, 'second')
  if (size < 90 * MINUTE) return away().format(Math.round(ms / MINUTE), 'minute')
  if (size < 2 * DAY) return away().format(Math.round(ms / HOUR), 'hour')
  return away().format(Math.round(ms / DAY), 'day')
}

export const dateTime = dates({ dateStyle: 'medium', timeStyle: 'short' })

export const date = dates({ dateStyle: 'medium' })

/** Short enough for an axis. */
export const dayAndMonth = dates({ month: 'short', day: 'numeric' })

export const hourOfDay = dates({ hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })

const plain = numbers({})
const compact = numbers({ notation: 'compact', maximumFractionDigits: 1 })
const share = numbers({ style: 'percent', maximumFractionDigits: 1 })

export function count(value: number): string {
  return value >= 100_000 ? compact(value) : plain(value)
}

export function percent(part: number, whole: number): string {
  return share(whole === 0 ? 0 : part / whole)
}
