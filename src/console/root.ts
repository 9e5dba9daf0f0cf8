/**
 * Where the broker answers: the console's scripts are in `assets/` below it, whatever path a proxy puts in front.
 */
const here = import.meta.url

/** Ends with a slash. */
export const ROOT = new URL('..', here).href

/** @param path from the broker's root, e.g. /api/session */
export function addressOf(path: string): string {
  return ROOT + path.slice(1)
}
