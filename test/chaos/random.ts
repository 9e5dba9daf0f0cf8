/**
 * Random numbers that a seed brings back.
 */
export interface Random {
  /** From `min` up to, not including, `max`. */
  between(min: number, max: number): number
  /** A whole number from 0 to `below` - 1. */
  whole(below: number): number
  pick<T>(list: readonly T[]): T
}

/** mulberry32, which is small and good enough to choose moments. */
export function seeded(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const whole = (below: number) => Math.floor(next() * below)
  return {
    between: (min, max) => min + next() * (max - min),
    whole,
    pick: (list) => list[whole(list.length)] as (typeof list)[number],
  }
}
