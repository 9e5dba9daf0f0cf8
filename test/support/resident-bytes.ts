/**
 * What a process weighs.
 */
import { readFileSync } from 'node:fs'

/** Its resident memory; NaN where there is no /proc. */
export function residentBytes(pid: number): number {
  return bytesOf(pid, 'VmRSS')
}

/** Of it what is no page of a file: those of a program are read when they are first run, and shared. */
export function anonymousBytes(pid: number): number {
  return bytesOf(pid, 'RssAnon')
}

function bytesOf(pid: number, field: 'VmRSS' | 'RssAnon'): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024
  } catch {
    return Number.NaN
  }
}
