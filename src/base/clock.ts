/**
 * The time of day, so that tests can turn it.
 */

/** Milliseconds since the epoch, whole ones. */
export type Clock = () => number

export const systemClock: Clock = Date.now

export const SECOND = 1_000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** Resolves after `ms`; does not keep the process alive on its own. Rejects with the signal's reason if aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const stop = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    timer.unref()
    signal?.addEventListener('abort', stop, { once: true })
  })
}

/**
 * The promise's own result if it settles within `ms`, else `undefined`.
 * The work behind the promise goes on: giving up waiting is not giving up the work.
 */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
