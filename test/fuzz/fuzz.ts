/**
 * Gate F7 as a whole: the corpus of heads, hostile answers, and requests from the grammar, malformed and well framed.
 */
import type { Test } from 'tap'
import { sendHostileAnswers } from './answers.ts'
import { FINDINGS } from './findings.ts'
import { Grammar } from './grammar.ts'
import { headProbes } from './heads.ts'
import {
  assertGood,
  assertNothingElse,
  type Lab,
  newTally,
  openLab,
  type Probe,
  sendProbe,
  type Tally,
} from './lab.ts'

export interface Sizes {
  readonly malformed: number
  readonly wellFramed: number
  /** Of the corpus every n-th. */
  readonly everyHead: number
}

export interface Part {
  readonly what: string
  readonly tally: Tally
}

const AT_ONCE = 16
/** So many are told of; the first ones explain the rest. */
const MAX_MISSES = 20
const PER_FINDING = 100

export async function runFuzz(
  t: Pick<Test, 'teardown'>,
  { malformed, wellFramed, everyHead }: Sizes,
  seed: number,
  tell: (part: Part) => void,
): Promise<readonly Part[]> {
  const lab = await openLab(t)
  const parts: Part[] = []
  const run = async (what: string, send: (tally: Tally) => Promise<void>) => {
    const tally = newTally()
    await send(tally)
    await assertGood(lab, tally)
    assertNothingElse(lab, tally)
    parts.push({ what, tally })
    tell({ what, tally })
  }
  const heads = headProbes(lab.known).filter((_, index) => (index + seed) % everyHead === 0)
  await run('heads of the corpus', (tally) => sendAll(lab, heads, tally))
  await run('hostile answers', (tally) => sendHostileAnswers(t, lab, tally))
  for (const { seed, what } of FINDINGS)
    await run(`requests of seed ${seed} (${what})`, (tally) =>
      sendAll(lab, fromGrammar(lab, seed, PER_FINDING, 'malformed'), tally),
    )
  await run('malformed requests', (tally) =>
    sendAll(lab, fromGrammar(lab, seed, malformed, 'malformed'), tally),
  )
  await run('well framed requests', (tally) =>
    sendAll(lab, fromGrammar(lab, seed, wellFramed, 'well framed'), tally),
  )
  return parts
}

async function sendAll(lab: Lab, probes: Iterable<Probe>, tally: Tally): Promise<void> {
  const rest = probes[Symbol.iterator]()
  const sendOn = async () => {
    for (let next = rest.next(); !next.done && tally.misses.length < MAX_MISSES; next = rest.next()) {
      await sendProbe(lab, next.value, tally)
      if (tally.sent % AT_ONCE === 0) await assertGood(lab, tally)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, sendOn))
}

function* fromGrammar(
  lab: Lab,
  seed: number,
  count: number,
  kind: 'malformed' | 'well framed',
): Generator<Probe> {
  const grammar = new Grammar(seed, lab.known)
  for (let number = 0; number < count; number += 1) {
    const name = `${kind}, number ${number} of seed ${seed}`
    if (kind === 'malformed') yield { name, expected: 'any', bytes: grammar.request() }
    else yield { name, expected: 'answered', bytes: grammar.wellFramed() }
  }
}
