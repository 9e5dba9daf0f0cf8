/**
 * Rounds interleaved over peers, every other one backwards, so that no peer always follows the same one and a
 * machine that is slow for a minute is slow for all.
 */
import type { Lab, Row } from './lab.ts'
import type { Peer } from './peers.ts'
import { median, pairwise } from './statistics.ts'

export class Rounds<Result> {
  readonly #results = new Map<string, Result[]>()

  add(name: string, result: Result): void {
    const results = this.#results.get(name)
    if (results) results.push(result)
    else this.#results.set(name, [result])
  }

  has(name: string): boolean {
    return this.#results.has(name)
  }

  names(): string[] {
    return [...this.#results.keys()].sort()
  }

  /** One figure of a peer, round by round. */
  all(name: string, figure: (result: Result) => number): number[] {
    return (this.#results.get(name) ?? []).map(figure)
  }

  median(name: string, figure: (result: Result) => number): number {
    return median(this.all(name, figure))
  }
}

/** @param brief a result in a word, for the progress */
export async function inRounds<Result, Subject extends { readonly name: string } = Peer>(
  lab: Lab,
  gate: string,
  peers: readonly Subject[],
  measure: (peer: Subject) => Promise<Result>,
  brief: (result: Result) => string,
): Promise<Rounds<Result>> {
  const rounds = new Rounds<Result>()
  for (let round = 1; round <= lab.rounds; round += 1) {
    const said: string[] = []
    for (const peer of round % 2 === 1 ? peers : peers.toReversed()) {
      const result = await lab.disturbance.measure(peer.name, () => measure(peer))
      rounds.add(peer.name, result)
      said.push(`${peer.name} ${brief(result)}`)
    }
    lab.say(`${gate} round ${round} of ${lab.rounds}: ${said.join(', ')}`)
  }
  return rounds
}

/** So many times as many rounds where two are loaded at once: each says less than one of a broker that is alone. */
const SIDE_BY_SIDE = 4

export interface Priced<Result> {
  /** What is counted, e.g. `call`. */
  readonly what: string
  readonly measure: (peer: Peer) => Promise<Result>
  readonly perSecond: (result: Result) => number
  /** Of processor time each. */
  readonly cpuMicros: (result: Result) => number
}

/**
 * What this broker does beside the one of `--before`, and what it costs: both are loaded at the same moment, so that
 * whatever disturbs the machine disturbs both. No rows without `--before`.
 */
export async function besideBefore<Result>(
  lab: Lab,
  gate: string,
  peers: readonly Peer[],
  { what, measure, perSecond, cpuMicros }: Priced<Result>,
): Promise<Row[]> {
  const [ours, theirs] = ['broker', 'before'].map((name) => peers.find((peer) => peer.name === name))
  if (!ours || !theirs) return []
  const pairs: [Result, Result][] = []
  for (let round = 1; round <= SIDE_BY_SIDE * lab.rounds; round += 1) {
    const pair = await Promise.all([measure(ours), measure(theirs)])
    const speeds = pair.map((result) => `${Math.round(perSecond(result))}/s`).join(' beside ')
    lab.say(`${gate} side by side, round ${round}: ${speeds}`)
    pairs.push(pair)
  }
  const each = (figure: (result: Result) => number, at: 0 | 1) => pairs.map((pair) => figure(pair[at]))
  return [
    ratioRow(`${what}s/s side by side, times before`, each(perSecond, 0), each(perSecond, 1), {
      least: 0.98,
    }),
    ratioRow(`CPU a ${what} side by side, times before`, each(cpuMicros, 0), each(cpuMicros, 1), {
      most: 1.02,
    }),
  ]
}

/**
 * The row of a ratio to another peer: the median over rounds, and the worst round.
 * @param limit what the ratio must reach, or with `most` must not exceed
 */
export function ratioRow(
  what: string,
  ours: readonly number[],
  theirs: readonly number[],
  limit: { readonly least: number } | { readonly most: number },
): Row {
  const isLeast = 'least' in limit
  const bound = isLeast ? limit.least : limit.most
  const row = { what, required: `${isLeast ? '>=' : '<='} ${bound.toFixed(2)}` }
  if (theirs.length === 0) return { ...row, figure: 'that peer is not here', reached: 'skipped' }
  const ratios = pairwise(ours, theirs)
  const ratio = median(ratios)
  const worst = isLeast ? Math.min(...ratios) : Math.max(...ratios)
  return {
    ...row,
    figure: `${ratio.toFixed(2)} (worst ${worst.toFixed(2)})`,
    reached: isLeast ? ratio >= bound : ratio <= bound,
  }
}
