/**
 * Turns at an authorization server: as many refreshes at once, and in a second, as it bears, callers before what nobody
 * waits for; and one probe while it is away, where all others wait for what that one finds, or go without.
 *
 * Turns belong to the server, by its address, whichever provider files name it. That it is away is a matter of each
 * file: one whose client is refused is no reason to leave the logins of another alone.
 *
 * Away means: whatever it was asked it would turn down just now (no connection, 429, our client refused), whichever
 * credential it is about. An unclear answer says nothing of the kind: it may be about one credential alone.
 * Known to this process only.
 */
import { SECOND } from '../base/clock.ts'
import type { Renewal } from '../oauth/refresh-token-grant.ts'
import { type Provider, serverOf } from '../provider/provider.ts'

/** Between a probe that found the server away and the next one. */
const PROBE_EVERY_MS = 5 * SECOND
/** For a probe's result or for a turn; below what the patience of callers allows (invariant I7). */
const MAX_WAIT_MS = 10 * SECOND

/** What can be told of a queue is no more exact than that: who is turned away would have waited in vain for certain. */
const SURELY = 1.5

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

type Limits = Pick<Provider['refresh'], 'atOnce' | 'perSecond'>
/** Who is asked, and what its provider file says it bears. */
export type Asked = Pick<Provider, 'name' | 'authorizationServer' | 'webSession'> & {
  readonly refresh: Limits
}

export class ServerProbes {
  /** By address. */
  readonly #servers = new Map<string, Server>()
  /** By provider file and address. */
  readonly #outages = new Map<string, Outage>()
  readonly #now: () => number

  /**
   * @param files what each says counts from the start on, also for the others that name its server
   * @param now milliseconds that only rise: turning the clock back must not keep a server away
   */
  constructor(files: Iterable<Asked>, now: () => number = () => performance.now()) {
    this.#now = now
    for (const file of files) this.#serverOf(file)
  }

  /**
   * Leave to send now, or undefined: the server is away, or too many are waiting for it.
   * @param rank asked again and again while it waits: somebody may come who waits for it
   */
  async turn(asked: Asked, rank: () => Rank): Promise<Turn | undefined> {
    const name = outageOf(asked)
    const outage = this.#outages.get(name) ?? new Outage(this.#now)
    this.#outages.set(name, outage)
    return this.#serverOf(asked).turn(outage, rank)
  }

  /** Nobody may send now. */
  isHeld(asked: Asked): boolean {
    return this.#outages.get(outageOf(asked))?.isHeld ?? false
  }

  /** When it is worth asking again, once {@link turn} gave nothing. */
  retryAfterMs(asked: Asked): number {
    const untilProbe = this.#outages.get(outageOf(asked))?.untilProbeMs ?? 0
    return Math.max(SECOND, untilProbe, this.#serverOf(asked).queueMs)
  }

  #serverOf(asked: Asked): Server {
    const address = serverOf(asked)
    const server = this.#servers.get(address) ?? new Server(asked.refresh, this.#now)
    this.#servers.set(address, server)
    server.bears(asked.refresh)
    return server
  }
}

function outageOf(asked: Asked): string {
  return `${asked.name} ${serverOf(asked)}`
}

/** Whether a server is away for the client of one provider file, and who looks again. */
class Outage {
  readonly #now: () => number
  #isAway = false
  #isProbed = false
  #nextProbeAt = 0

  constructor(now: () => number) {
    this.#now = now
  }

  /** Nobody may send now. */
  get isHeld(): boolean {
    return this.#isAway && (this.#isProbed || this.#now() < this.#nextProbeAt)
  }

  /** And nobody finds out, so that waiting is for nothing. */
  get isHopeless(): boolean {
    return this.isHeld && !this.#isProbed
  }

  get untilProbeMs(): number {
    return this.isHopeless ? this.#nextProbeAt - this.#now() : 0
  }

  /** Somebody sends: @returns what to call with what came of it */
  begin(): (found: Renewal | undefined) => void {
    const isProbe = this.#isAway
    if (isProbe) this.#isProbed = true
    return (found) => {
      if (isProbe) this.#isProbed = false
      this.#learn(found, isProbe)
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

interface Waiting {
  readonly rank: () => Rank
  readonly outage: Outage
  readonly answer: (turn: Turn | undefined) => void
}

class Server {
  #limits: Limits
  readonly #now: () => number
  /** First come, first served within a rank. */
  #waiting: Waiting[] = []
  #underWay = 0
  /** When the last of those were let in who left others behind them, the oldest first. */
  #letIn: number[] = []
  #nextSendAt = 0
  #alarm: NodeJS.Timeout | undefined

  constructor(limits: Limits, now: () => number) {
    this.#limits = limits
    this.#now = now
  }

  /** Whoever wrote a limit down knew the server, whichever file it was for: the least of all counts. */
  bears({ atOnce, perSecond = Number.POSITIVE_INFINITY }: Limits): void {
    const { atOnce: most, perSecond: fastest = Number.POSITIVE_INFINITY } = this.#limits
    if (atOnce >= most && perSecond >= fastest) return
    const slower = Math.min(perSecond, fastest)
    this.#limits = {
      atOnce: Math.min(atOnce, most),
      perSecond: Number.isFinite(slower) ? slower : undefined,
    }
  }

  /** How long a caller who comes now would wait, as fast as it goes at present; 0 where nobody can tell. */
  get queueMs(): number {
    const [since] = this.#letIn
    if (since === undefined || this.#letIn.length < this.#limits.atOnce) return 0
    const callers = this.#waiting.filter(({ rank }) => rank() === 'caller').length
    return (callers * (this.#now() - since)) / this.#letIn.length
  }

  turn(outage: Outage, rank: () => Rank): Promise<Turn | undefined> {
    if (rank() === 'caller' && this.queueMs > SURELY * MAX_WAIT_MS) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(one), 1)
        resolve(undefined)
      }, MAX_WAIT_MS).unref()
      const answer = (turn: Turn | undefined) => {
        clearTimeout(timer)
        resolve(turn)
      }
      const one = { rank, outage, answer }
      this.#waiting.push(one)
      this.#admit()
    })
  }

  #admit(): void {
    for (let one = this.#next(); one; one = this.#next()) one.answer(this.#begin(one))
    const inVain = this.#waiting.filter(({ outage }) => outage.isHopeless)
    if (inVain.length > 0) this.#waiting = this.#waiting.filter(({ outage }) => !outage.isHopeless)
    for (const { answer } of inVain) answer(undefined)
    if (this.#waiting.length > 0) this.#lookAgainInTime()
  }

  /** Takes out whose turn it is now. */
  #next(): Waiting | undefined {
    if (!this.#isFreeFor(0)) return undefined
    let first = -1
    let highest: number = RANKS.length
    for (const [place, { rank, outage }] of this.#waiting.entries()) {
      if (outage.isHeld) continue
      const its = RANKS.indexOf(rank())
      if (its >= highest) continue
      first = place
      highest = its
      if (highest === 0) break
    }
    if (first === -1 || !this.#isFreeFor(highest)) return undefined
    return this.#waiting.splice(first, 1)[0]
  }

  #isFreeFor(rank: number): boolean {
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

  #begin({ outage }: Waiting): Turn {
    const learn = outage.begin()
    this.#underWay += 1
    const { atOnce, perSecond } = this.#limits
    this.#letIn = this.#waiting.length > 0 ? [...this.#letIn, this.#now()].slice(-2 * atOnce) : []
    if (perSecond !== undefined) {
      this.#nextSendAt = Math.max(this.#now(), this.#nextSendAt) + SECOND / perSecond
    }
    return {
      end: (found) => {
        this.#underWay -= 1
        learn(found)
        this.#admit()
      },
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
