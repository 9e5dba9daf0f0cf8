/**
 * One call to a model endpoint: a promise of its head, then its body chunk by chunk into a sink.
 *
 * Straight on undici's dispatcher, without streams in between, so that a chunk is passed on in the tick it
 * arrives. Takes a finished header list; knows nothing of credentials.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { BrokerError } from '../base/errors.ts'
import type { HeaderList } from './headers.ts'

export interface UpstreamRequest {
  readonly origin: string
  readonly path: string
  readonly method: string
  readonly headers: HeaderList
  readonly body: Buffer | Readable | null
}

export interface Head {
  readonly status: number
  /** Names in lower case. */
  readonly headers: IncomingHttpHeaders
}

/** Takes a body. `false` from `chunk` asks for a pause until `resume()` is called on the call. */
export interface Sink {
  chunk(bytes: Buffer): boolean
  end(): void
  /** Upstream broke off after its head. */
  fail(error: BrokerError): void
}

/** Held back for a sink that is not there yet; beyond this upstream is made to wait. */
const MAX_PENDING_BYTES = 64 * 1024
/** An answer nobody wants is read to its end up to here, so that its connection can be used again. */
const MAX_DISCARDED_BYTES = 64 * 1024

export class UpstreamCall implements Dispatcher.DispatchHandler {
  /** @throws BrokerError upstream_unreachable | upstream_timeout */
  get head(): Promise<Head> {
    return this.#head.promise
  }

  readonly #head = Promise.withResolvers<Head>()
  #controller: Dispatcher.DispatchController | undefined
  #hasHead = false
  #isCancelled = false
  #sink: Sink | undefined
  #pending: Buffer[] = []
  #pendingBytes = 0
  #isEnded = false
  #failure: BrokerError | undefined
  #onPending: (() => void) | undefined

  /** Whether the whole answer has arrived already; then it can be written in one go. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  /** The whole body if it arrived already, in one piece; whoever takes it is the last to see it. */
  takeWhole(): Buffer | undefined {
    return this.#isEnded && this.#pending.length === 1 ? this.#pending.pop() : undefined
  }

  /** Starts handing the body over, beginning with what has arrived so far. */
  pipeTo(sink: Sink): void {
    this.#sink = sink
    let wantsMore = true
    for (const chunk of this.#pending) wantsMore = sink.chunk(chunk)
    this.#pending = []
    if (this.#failure) sink.fail(this.#failure)
    else if (this.#isEnded) sink.end()
    else if (!wantsMore) this.#controller?.pause()
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
    if (this.#controller?.paused) this.#controller.resume()
  }

  /** Nobody is interested any more: hangs up, also before the head. */
  cancel(): void {
    if (this.#isEnded || this.#isCancelled) return
    this.#isCancelled = true
    this.#controller?.abort(new Error('cancelled'))
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

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#isCancelled) controller.abort(new Error('cancelled'))
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return // 1xx: the real answer follows
    this.#hasHead = true
    this.#head.resolve({ status, headers })
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#sink) {
      if (!this.#sink.chunk(chunk)) controller.pause()
      return
    }
    this.#pending.push(chunk)
    this.#pendingBytes += chunk.length
    if (this.#pendingBytes > MAX_PENDING_BYTES) controller.pause()
    this.#onPending?.()
  }

  onResponseEnd(): void {
    this.#isEnded = true
    this.#sink?.end()
    this.#onPending?.()
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (!this.#hasHead) {
      this.#head.reject(judge(error))
      return
    }
    const failure = new BrokerError('upstream_broken', { cause: error, detail: codeOf(error) })
    this.#failure = failure
    this.#sink?.fail(failure)
    this.#onPending?.()
  }
}

/** Sends once; never retried here. */
export function send(dispatcher: Dispatcher, request: UpstreamRequest): UpstreamCall {
  const call = new UpstreamCall()
  dispatcher.dispatch(request as Dispatcher.DispatchOptions, call)
  return call
}

const TIMEOUTS = new Set([
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'ETIMEDOUT',
])

function judge(error: Error): BrokerError {
  const code = codeOf(error)
  return new BrokerError(TIMEOUTS.has(code) ? 'upstream_timeout' : 'upstream_unreachable', {
    cause: error,
    detail: code,
  })
}

function codeOf(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? error.name
}
