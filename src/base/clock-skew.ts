/**
 * How far a server's clock is from ours, as the `Date` of its answer tells (RFC 9110 §6.6.1): what is signed with a time
 * is refused where they differ, and seldom in those words.
 */
import { SECOND } from './clock.ts'

/** Less is the way there and back, and what every server allows. */
const NOTICED_SECONDS = 30
const NOTE = /\(its clock is (\d+) s (ahead|behind)\)/

/** Whole seconds by which the server is ahead, below 0: behind. Undefined: they agree, or it does not say. */
export function clockSkew(date: string | null | undefined, now: number): number | undefined {
  const skew = date ? Math.round((Date.parse(date) - now) / SECOND) : Number.NaN
  return Math.abs(skew) > NOTICED_SECONDS ? skew : undefined
}

/** For the line that says why a server refused; see {@link skewIn}. */
export function skewNote(skew: number): string {
  return `(its clock is ${Math.abs(skew)} s ${skew > 0 ? 'ahead' : 'behind'})`
}

/** What such a line says. */
export function skewIn(text: string): number | undefined {
  const [, seconds, side] = NOTE.exec(text) ?? []
  return seconds === undefined ? undefined : Number(seconds) * (side === 'ahead' ? 1 : -1)
}
