/**
 * Turns at an authorization server: as many refreshes at once, and in a second, as it bears, callers before what nobody
 * waits for; and one probe while it is away, where all others wait for what that one finds, or go without.
 *
 * Away means: whatever it was asked it would turn down just now (no connection, 429, our client refused), whichever
 * credential it is about. An unclear answer says nothing of the kind: it may be about one credential alone.
 * Known to this process only.
 */
import { SECOND } from '../base/clock.ts'
import type { Renewal } from '../oauth/refresh-token-grant.ts'
import type { Provider } from '../provider/provider.ts'

/** Between a probe that found the server away and the next one. */
const PROBE_EVERY_MS = 5 * SECOND
/** For a probe's result or for a turn; below what the patience of callers allows (invariant I7). */
const MAX_WAIT_MS = 10 * SECOND

/** Who wants a turn: somebody who waits, a token that still lives, one that has ended. The first goes first. */
export const RANKS = ['caller', 'living', 'ended'] as const
export type Rank = (typeof RANKS)[number]
/** Of so many turns one is kept from each rank for those before it, so that none of them finds all turns taken. */
const TURNS_FOR_ONE_KEPT = 16

/** Leave to send one request. */
export interface Turn {
  /** Call it once. @param found undefined: nothing was sent after all */
  end(found: Renewal | undefined): void
}

export type ServerLimits = Pick<Provider, 'name'> & {
  readonly refresh: Pick<Provider['refresh'], 'atOnce' | 'perSecond'>
}

export class ServerProbes {
  readonly #servers = new Map<string, Server>()
  readonly #now: () => number

  /** @param now milliseconds that only rise: turning the clock back must not keep a server away */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /**
   * Leave to send now, or undefined: the server is away, or too many are waiting for it.
   * @param rank asked again and again while it waits: somebody may come who waits for it
   */
  async turn(limits: ServerLimits, rank: () => Rank): Promise<Turn | undefined> {
    const known = this.#servers.get(limits.name)
    if (known) return known.turn(rank)
    const server = new Server(limits, this.#now)
    this.#servers.set(limits.name, server)
    return server.turn(rank)
  }

  /** Nobody may send now. */
  isHeld(name: string): boolean {
    return this.#servers.get(name)?.isHeld ?? false
  }

  /** When it is worth asking again, once {@link turn} gave nothing. */
  retryAfterMs(name: string): number {
    return this.#servers.get(name)?.retryAfterMs ?? SECOND
  }
}

interface Waiting {
  readonly rank: () => Rank
  readonly answer: (turn: Turn | undefined) => void
}

class Server {
  readonly #limits: ServerLimits['refresh']
  readonly #now: () => number
  /** First come, first served within a rank. */
  readonly #waiting: Waiting[] = []
  #underWay = 0
  #nextSendAt = 0
  #alarm: NodeJS.Timeout | undefined
  #isAway = false
  #isProbed = false
  #nextProbeAt = 0

  constructor({ refresh }: ServerLimits, now: () => number) {
    this.#limits = refresh
    this.#now = now
  }

  get isHeld(): boolean {
    return this.#isAway && (this.#isProbed || this.#now() < this.#nextProbeAt)
  }

  get retryAfterMs(): number {
    const untilProbe = this.#nextProbeAt - this.#now()
    return this.#isAway && !this.#isProbed && untilProbe > SECOND ? untilProbe : SECOND
  }

  turn(rank: () => Rank): Promise<Turn | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(one), 1)
        resolve(undefined)
      }, MAX_WAIT_MS).unref()
      const answer = (turn: Turn | undefined) => {
        clearTimeout(timer)
        resolve(turn)
      }
      const one = { rank, answer }
      this.#waiting.push(one)
      this.#admit()
    })
  }

  #admit(): void {
    for (let one = this.#next(); one; one = this.#next()) one.answer(this.#begin())
    if (this.#isAway && !this.#isProbed) for (const { answer } of this.#waiting.splice(0)) answer(undefined)
    if (this.#waiting.length > 0) this.#lookAgainInTime()
  }

  /** Takes out whose turn it is now. */
  #next(): Waiting | undefined {
    if (!this.#isFreeFor(0)) return undefined
    const ranks = this.#waiting.map(({ rank }) => RANKS.indexOf(rank()))
    const first = ranks.indexOf(Math.min(...ranks))
    if (first === -1 || !this.#isFreeFor(ranks[first] ?? 0)) return undefined
    return this.#waiting.splice(first, 1)[0]
  }

  #isFreeFor(rank: number): boolean {
    if (this.#isAway) return !this.isHeld
    const { atOnce } = this.#limits
    const kept = rank * Math.floor(atOnce / TURNS_FOR_ONE_KEPT)
    return this.#underWay < atOnce - kept && this.#now() >= this.#nextSendAt
  }

  #lookAgainInTime(): void {
    const pause = this.#nextSendAt - this.#now()
    if (pause <= 0) return
    clearTimeout(this.#alarm)
    this.#alarm = setTimeout(() => this.#admit(), Math.ceil(pause)).unref()
  }

  #begin(): Turn {
    const isProbe = this.#isAway
    if (isProbe) this.#isProbed = true
    this.#underWay += 1
    const { perSecond } = this.#limits
    if (perSecond !== undefined) {
      this.#nextSendAt = Math.max(this.#now(), this.#nextSendAt) + SECOND / perSecond
    }
    return {
      end: (found) => {
        this.#underWay -= 1
        if (isProbe) this.#isProbed = false
        this.#learn(found, isProbe)
        this.#admit()
      },
    }
  }

  #learn(found: Renewal | undefined, isProbe: boolean): void {
    const isAway = saysAway(found)
    if (isAway === false) this.#isAway = false
    // The first to find it away may have met an exception: the next one may look at once.
    if (isAway && !this.#isAway) {
      this.#isAway = true
      this.#nextProbeAt = this.#now()
    } else if (isProbe && found !== undefined) {
      this.#nextProbeAt = this.#now() + Math.max(PROBE_EVERY_MS, askedPatienceMs(found))
    }
  }
}

/** undefined: that cannot be told. */
function saysAway(found: Renewal | undefined): boolean | undefined {
  if (found === undefined || found.kind === 'unclear') return undefined
  return found.kind === 'not_processed' && found.isServerAway === true
}

/** As the server said with `Retry-After`. */
function askedPatienceMs(found: Renewal): number {
  return found.kind === 'not_processed' ? (found.retryAfterMs ?? 0) : 0
}
