/**
 * What a process weighs.
 */
import { readFileSync } from 'node:fs'

/** Its resident memory; NaN where there is no /proc. */
export function residentBytes(pid: number): number {
  try {
    const [, kibibytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? []
    return Number(kibibytes) * 1024
  } catch {
    return Number.NaN
  }
}
