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

/** The same, but all peers at once: whatever disturbs the machine for a moment disturbs all of them. */
export async function sideBySide<Result>(
  lab: Lab,
  gate: string,
  peers: readonly Peer[],
  measure: (peer: Peer) => Promise<Result>,
  brief: (result: Result) => string,
): Promise<Rounds<Result>> {
  const rounds = new Rounds<Result>()
  for (let round = 1; round <= SIDE_BY_SIDE * lab.rounds; round += 1) {
    const results = await Promise.all(peers.map(measure))
    for (const [index, result] of results.entries()) rounds.add(peers[index]?.name ?? '', result)
    const said = results.map((result, index) => `${peers[index]?.name} ${brief(result)}`)
    lab.say(`${gate} side by side, round ${round}: ${said.join(', ')}`)
  }
  return rounds
}

/** Of a second or less; their ratios are close to each other, and worth most in number. */
const SIDE_BY_SIDE = 4

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
