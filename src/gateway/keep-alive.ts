/**
 * `: keep-alive` comments (WHATWG HTML §9.2.7) for event streams that say nothing for a while, where the provider
 * file asks for them (`upstream.keep_alive_seconds`): what stands between us and the client may hang up on silence.
 *
 * Only between events, where a comment changes nothing of what is read.
 */
import { KEEP_ALIVE } from '../base/server-sent-events.ts'

const COMMENT = Buffer.from(KEEP_ALIVE)
/** A blank line, by any of the three line ends. */
const EVENT_END = /(?:\n\n|\r\n\r\n|\r\r)$/
const LONGEST_END = 4

export class KeepAlive {
  readonly #timer: NodeJS.Timeout
  /** The last bytes that were passed on. Before the first one there is room for a comment, too. */
  #ending = '\n\n'

  constructor(everyMs: number, write: (comment: Buffer) => void) {
    this.#timer = setInterval(() => {
      if (this.isBetweenEvents) write(COMMENT)
    }, everyMs)
  }

  get isBetweenEvents(): boolean {
    return EVENT_END.test(this.#ending)
  }

  /** These bytes were passed on. */
  saw(bytes: Buffer): void {
    const last = bytes.toString('latin1', Math.max(0, bytes.length - LONGEST_END))
    this.#ending = (this.#ending + last).slice(-LONGEST_END)
    this.#timer.refresh()
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
