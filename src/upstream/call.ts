/**
 * One call to a model endpoint: a promise of its head, then its body piece by piece into a sink, in the tick it
 * arrives. Knows nothing of credentials.
 */
import { BrokerError } from '../base/errors.ts'
import type { Connection, Exchange } from '../http1/connection.ts'
import { WaitedTooLong } from '../http1/connection-error.ts'
import type { HeaderList } from '../http1/header-list.ts'
import type { HttpRequest } from '../http1/request-head.ts'

export interface Head {
  readonly status: number
  /** Names in lower case. */
  readonly headers: HeaderList
}

/** Takes a body. `false` from `chunk` asks for a pause until `resume()` is called on the call. */
export interface Sink {
  /** @param bytes lent: they change once this returns */
  chunk(bytes: Buffer): boolean
  end(): void
  /** Upstream broke off after its head. */
  fail(error: BrokerError): void
}

type Carrier = Pick<Connection, 'carry' | 'pause' | 'resume' | 'destroy'>

/** Held back for a sink that is not there yet; beyond this upstream is made to wait. */
const MAX_PENDING_BYTES = 64 * 1024
/** An answer nobody wants is read to its end up to here, so that its connection can be used again. */
const MAX_DISCARDED_BYTES = 64 * 1024

/** An answer may take long, and its connection idles behind it: meanwhile nobody holds what was asked. */
const PASSED_ON: HttpRequest = { origin: '', path: '', method: '', headers: [], body: null }

export class UpstreamCall implements Exchange {
  /** Empty once an answer goes on, or none came. */
  request: HttpRequest
  /** Kept until an answer goes on. */
  #head: PromiseWithResolvers<Head> | undefined = Promise.withResolvers()
  #connection: Carrier | undefined
  #hasHead = false
  #sink: Sink | undefined
  #pending: Buffer[] = []
  #pendingBytes = 0
  #isEnded = false
  #failure: BrokerError | undefined
  #onPending: (() => void) | undefined

  constructor(request: HttpRequest) {
    this.request = request
  }

  /** Until the body goes on. @throws BrokerError upstream_unreachable | upstream_timeout */
  get head(): Promise<Head> {
    if (!this.#head) throw new Error('the body of this answer goes on already')
    return this.#head.promise
  }

  /** Whether nothing more can come: it has ended, or failed. */
  get isOver(): boolean {
    return this.#isEnded || this.#failure !== undefined
  }

  /** Whether the whole answer has arrived already; then it can be written in one go. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  /** The whole body if it arrived already, in one piece; whoever takes it is the last to see it. */
  takeWhole(): Buffer | undefined {
    if (!this.#isEnded || this.#pending.length !== 1) return undefined
    this.request = PASSED_ON
    return this.#pending.pop()
  }

  /** Starts handing the body over, beginning with what has arrived so far. */
  pipeTo(sink: Sink): void {
    this.#sink = sink
    if (this.#hasHead) {
      this.request = PASSED_ON
      this.#head = undefined
    }
    let wantsMore = true
    for (const chunk of this.#pending) wantsMore = sink.chunk(chunk)
    this.#pending = []
    if (this.#failure) sink.fail(this.#failure)
    else if (this.#isEnded) sink.end()
    else if (!wantsMore) this.#connection?.pause()
    else this.resume()
  }

  /** The beginning of the body, which stays there for whoever takes it: at most about `max` bytes, or all of it. */
  async peek(max: number): Promise<Buffer> {
    if (!this.#isEnded && this.#pendingBytes < max && !this.#failure) {
      await new Promise<void>((resolve) => {
        this.#onPending = () => {
          if (this.#isEnded || this.#pendingBytes >= max || this.#failure) resolve()
        }
      })
      this.#onPending = undefined
    }
    return Buffer.concat(this.#pending)
  }

  /** After a pause the sink asked for. */
  resume(): void {
    this.#connection?.resume()
  }

  /** Nobody is interested any more: hangs up, also before the head. */
  cancel(): void {
    if (this.isOver) return
    if (this.#connection) this.#connection.destroy(new Cancelled())
    else this.onFailure(new Cancelled())
  }

  /** Reads the body to its end and drops it. */
  discard(): void {
    let bytes = 0
    this.pipeTo({
      chunk: (chunk) => {
        bytes += chunk.length
        if (bytes > MAX_DISCARDED_BYTES) this.cancel()
        return true
      },
      end: () => {},
      fail: () => {},
    })
  }

  /** @param take opens a connection, or takes one that is idle */
  sendOn(take: () => Carrier): void {
    try {
      this.#connection = take()
      this.#connection.carry(this)
    } catch (error) {
      if (this.#connection) this.#connection.destroy(error as Error)
      else this.onFailure(error as Error)
    }
  }

  onHead(status: number, headers: HeaderList): void {
    this.#hasHead = true
    this.#head?.resolve({ status, headers })
  }

  onData(bytes: Buffer): void {
    if (this.#sink) {
      if (!this.#sink.chunk(bytes)) this.#connection?.pause()
      return
    }
    this.#pending.push(Buffer.from(bytes))
    this.#pendingBytes += bytes.length
    if (this.#pendingBytes > MAX_PENDING_BYTES) this.#connection?.pause()
    this.#onPending?.()
  }

  onEnd(): void {
    this.#connection = undefined
    this.#isEnded = true
    this.#sink?.end()
    this.#onPending?.()
  }

  onFailure(error: Error): void {
    this.#connection = undefined
    this.#failure = judge(error, this.#hasHead)
    if (!this.#hasHead) {
      this.request = PASSED_ON
      this.#head?.reject(this.#failure)
      return
    }
    this.#sink?.fail(this.#failure)
    this.#onPending?.()
  }
}

class Cancelled extends Error {
  override readonly name = 'Cancelled'
}

/** What went wrong, in words for the client. */
export function judge(cause: Error, hasHead: boolean): BrokerError {
  if (cause.cause instanceof BrokerError) return cause.cause // what ended the upload
  const detail = (cause as NodeJS.ErrnoException).code ?? cause.name
  if (hasHead) return new BrokerError('upstream_broken', { cause, detail })
  const isTimeout = cause instanceof WaitedTooLong || detail === 'ETIMEDOUT'
  return new BrokerError(isTimeout ? 'upstream_timeout' : 'upstream_unreachable', { cause, detail })
}
