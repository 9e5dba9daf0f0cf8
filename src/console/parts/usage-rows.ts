/** Usage rows as bars and sums. */
import type { UsageRow } from '../../admin/answers.ts'
import type { Bar } from './chart.ts'
import { DAY, dayAndMonth, hourOfDay } from './time.ts'

const HOUR = DAY / 24

export interface UsageTotals {
  readonly requests: number
  readonly errors: number
  readonly prompt: number
  readonly completion: number
}

export function sumOf(rows: readonly UsageRow[]): UsageTotals {
  const sum = (pick: (row: UsageRow) => number) => rows.reduce((total, row) => total + pick(row), 0)
  return {
    requests: sum((row) => row.requests),
    errors: sum((row) => row.errors),
    prompt: sum((row) => row.prompt_tokens),
    completion: sum((row) => row.completion_tokens),
  }
}

/** The beginning of the first of 24 hours, the present one included. */
export function lastDay(): number {
  return Math.floor(Date.now() / HOUR) * HOUR - 23 * HOUR
}

/** One bar for each of the last 24 hours. */
export function hourlyBars(rows: readonly UsageRow[], pick = requestsOf): Bar[] {
  const first = lastDay()
  const byHour = new Map(rows.map((row) => [row.at ?? Date.parse(row.group), row]))
  return Array.from({ length: 24 }, (_, hour) => {
    const at = first + hour * HOUR
    return barOf(hourOfDay(at), byHour.get(at), pick)
  })
}

/** One bar a day, the days without any included. @param days local dates like 2026-11-22, in order */
export function dailyBars(rows: readonly UsageRow[], days: readonly string[], pick = requestsOf): Bar[] {
  const byDay = new Map(rows.map((row) => [row.group, row]))
  return days.map((day) => barOf(dayAndMonth(new Date(`${day}T12:00`).getTime()), byDay.get(day), pick))
}

export function requestsOf(row: UsageRow): readonly [all: number, failed: number] {
  return [row.requests, row.errors]
}

export function tokensOf(row: UsageRow): readonly [all: number, failed: number] {
  return [row.prompt_tokens + row.completion_tokens, 0]
}

function barOf(label: string, row: UsageRow | undefined, pick = requestsOf): Bar {
  const [value, errors] = row ? pick(row) : [0, 0]
  return { label, value, errors }
}
