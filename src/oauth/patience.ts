/**
 * How long to wait for an answer, counted in ticks in which this process ran.
 *
 * A process that was stopped for a minute (SIGSTOP, a suspended machine) wakes to a clock that says "too late" and to
 * a socket in which the answer waits. So a tick that comes late does not count: first what waits is read.
 */
export interface Patience {
  /** Aborts with a TimeoutError. */
  readonly signal: AbortSignal
  /** Nothing is waited for any more. */
  readonly end: () => void
}

const TICK_MS = 250
/** Late by so much of a tick, it was not the timer that was imprecise. */
const LATE = 2
/** A process that never comes to its ticks in time must give up all the same. */
const MAX_LATE_TICKS = 4

export function patience(ms: number): Patience {
  const tickMs = Math.min(TICK_MS, ms / 4)
  const controller = new AbortController()
  let left = Math.ceil(ms / tickMs)
  let lateLeft = MAX_LATE_TICKS
  let lastAt = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    const isLate = now - lastAt > LATE * tickMs
    lastAt = now
    if (isLate && lateLeft > 0) lateLeft -= 1
    else left -= 1
    if (left === 0) controller.abort(new DOMException('no answer in time', 'TimeoutError'))
  }, tickMs)
  return { signal: controller.signal, end: () => clearInterval(timer) }
}
