/**
 * One probe a server: while an authorization server is away, one refresh at a time finds out whether it is back,
 * and all others wait for what that one finds, or go without.
 *
 * Away means: whatever it was asked it would turn down just now (no connection, 429, our client refused), whichever
 * credential it is about. An unclear answer says nothing of the kind: it may be about one credential alone.
 * Known to this process only.
 */
import { SECOND } from '../base/clock.ts'
import type { Renewal } from '../oauth/refresh-token-grant.ts'

/** At once, to one server. */
const MAX_UNDER_WAY = 32
/** Between a probe that found the server away and the next one. */
const PROBE_EVERY_MS = 5 * SECOND
/** For a probe's result or for a turn; below what the patience of callers allows (invariant I7). */
const MAX_WAIT_MS = 10 * SECOND

/** Leave to send one request. */
export interface Turn {
  /** Call it once. @param found undefined: nothing was sent after all */
  end(found: Renewal | undefined): void
}

export class ServerProbes {
  readonly #servers = new Map<string, Server>()
  readonly #now: () => number

  /** @param now milliseconds that only rise: turning the clock back must not keep a server away */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Leave to send now, or undefined: the server is away, or too many are waiting for it. */
  async turn(name: string): Promise<Turn | undefined> {
    return this.#server(name).turn()
  }

  /** Nobody may send now. */
  isHeld(name: string): boolean {
    return this.#servers.get(name)?.isHeld ?? false
  }

  /** When it is worth asking again, once {@link turn} gave nothing. */
  retryAfterMs(name: string): number {
    return this.#server(name).retryAfterMs
  }

  #server(name: string): Server {
    const known = this.#servers.get(name)
    if (known) return known
    const server = new Server(this.#now)
    this.#servers.set(name, server)
    return server
  }
}

class Server {
  readonly #now: () => number
  readonly #waiting: ((turn: Turn | undefined) => void)[] = []
  #underWay = 0
  #isAway = false
  #isProbed = false
  #nextProbeAt = 0

  constructor(now: () => number) {
    this.#now = now
  }

  get isHeld(): boolean {
    return this.#isAway && !this.#isFree
  }

  get retryAfterMs(): number {
    const untilProbe = this.#nextProbeAt - this.#now()
    return this.#isAway && !this.#isProbed && untilProbe > SECOND ? untilProbe : SECOND
  }

  turn(): Promise<Turn | undefined> {
    if (this.#isFree) return Promise.resolve(this.#begin())
    if (this.#isAway && !this.#isProbed) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const answer = (turn: Turn | undefined) => {
        clearTimeout(timer)
        resolve(turn)
      }
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(answer), 1)
        resolve(undefined)
      }, MAX_WAIT_MS).unref()
      this.#waiting.push(answer)
    })
  }

  get #isFree(): boolean {
    return this.#isAway ? !this.#isProbed && this.#now() >= this.#nextProbeAt : this.#underWay < MAX_UNDER_WAY
  }

  #begin(): Turn {
    const isProbe = this.#isAway
    if (isProbe) this.#isProbed = true
    this.#underWay += 1
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
    } else if (isProbe && found !== undefined) this.#nextProbeAt = this.#now() + PROBE_EVERY_MS
  }

  #admit(): void {
    while (this.#waiting.length > 0 && this.#isFree) this.#waiting.shift()?.(this.#begin())
    if (this.#isAway && !this.#isProbed) for (const answer of this.#waiting.splice(0)) answer(undefined)
  }
}

/** undefined: that cannot be told. */
function saysAway(found: Renewal | undefined): boolean | undefined {
  if (found === undefined || found.kind === 'unclear') return undefined
  return found.kind === 'not_processed' && found.isServerAway === true
}
