/**
 * On a shared host other machines take processor time from this one, for a second or for minutes, and whatever is
 * measured then tells of them. Linux counts what was taken ("steal" in `/proc/stat`); elsewhere it is 0.
 */
import { readFileSync } from 'node:fs'

/** From this share on, of the time that this machine asked for, nothing measured in milliseconds can be trusted. */
export const MAX_STOLEN = 0.1

/** In ticks, of all processors together. */
export interface ProcessorTime {
  readonly used: number
  readonly stolen: number
}

export function processorTime(): ProcessorTime {
  try {
    const [, ...fields] = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').split(/\s+/).map(Number)
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, stolen = 0] = fields
    return { used: user + nice + system + irq + softirq, stolen }
  } catch {
    return { used: 0, stolen: 0 }
  }
}

/** Of the time that this machine has asked for since then: 0 to 1. */
export function shareStolenSince(before: ProcessorTime): number {
  const now = processorTime()
  const stolen = now.stolen - before.stolen
  const asked = now.used - before.used + stolen
  return asked > 0 ? stolen / asked : 0
}
