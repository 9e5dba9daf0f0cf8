/**
 * A request's body, and the model it names. JSON is kept as raw bytes, so that it can be sent again after a 401, and so
 * is a form until its model is found; everything else (audio, files, what is larger than 20 MiB) is passed on as it
 * arrives, of which only the beginning is looked at.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { BrokerError } from '../base/errors.ts'
import { isCoded, withoutCodings } from './content-codings.ts'
import { findModelInForm } from './form-scan.ts'
import type { Hold } from './held-bodies.ts'
import { findModel, type ModelScan } from './model-scan.ts'
import { Pieces } from './pieces.ts'

export interface ClientBody {
  /** As it came; a stream is the request itself. */
  readonly sent: Buffer | IncomingMessage | null
  /** What there is to read of it: without its codings; of a stream the beginning, which was taken off it. */
  readonly readable: Buffer | undefined
  readonly scan: ModelScan
  /** JSON that is too large to be kept. */
  readonly isLargeJson: boolean
}

const MAX_REPLAYABLE_BYTES = 20 * 1024 * 1024
/** Of a body that is too large to be kept, the model must be within so many. */
const MAX_BEGINNING_BYTES = 1024 * 1024

export const NO_BODY: ClientBody = { sent: null, readable: undefined, scan: 'none', isLargeJson: false }

/**
 * @param request with a body
 * @param strict all of the body is to be read: nothing behind the model may name another one
 * @throws BrokerError request_too_large | malformed_request | request_timeout | rate_limit_exceeded | overloaded
 */
export function readBody(
  request: IncomingMessage,
  strict: boolean,
  hold: Hold,
): ClientBody | Promise<ClientBody> {
  const { headers } = request
  const contentType = headers['content-type'] ?? ''
  if (JSON_TYPE.test(contentType)) {
    const isLarge = announcesTooMuch(headers)
    if (isLarge || isCoded(headers)) return readUnusualJson(request, strict, isLarge, hold)
    return readJson(request, strict, hold)
  }
  if (FORM_TYPE.test(contentType)) return readForm(request, contentType, strict, hold)
  return streamed(request, undefined, 'unread')
}

export function hasBody(headers: IncomingHttpHeaders): boolean {
  const length = headers['content-length']
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')
}

/** An answer to such a request ends its connection, once the rest of the body is read and dropped. */
export function hasUnreadBody(request: IncomingMessage): boolean {
  return !request.complete && hasBody(request.headers)
}

function announcesTooMuch(headers: IncomingHttpHeaders): boolean {
  return Number(headers['content-length']) > MAX_REPLAYABLE_BYTES
}

const JSON_TYPE = /^application\/(?:json|[^\s;,]+\+json)\b/i
const FORM_TYPE = /^(?:multipart\/form-data|application\/x-www-form-urlencoded)\b/i

function readJson(request: IncomingMessage, strict: boolean, hold: Hold): Promise<ClientBody> {
  return take(request, { max: MAX_REPLAYABLE_BYTES, hold }, (bytes, isWhole) =>
    isWhole ? kept(bytes, bytes, findModel(bytes, strict)) : largeJson(request, bytes, strict),
  )
}

async function readUnusualJson(
  request: IncomingMessage,
  strict: boolean,
  isLarge: boolean,
  hold: Hold,
): Promise<ClientBody> {
  const isPlain = !isCoded(request.headers)
  if (isLarge && isPlain) {
    const isEnough = (beginning: Buffer) => findModel(beginning, false) !== 'none'
    const wanted = { max: MAX_BEGINNING_BYTES, hold, isEnough }
    return take(request, wanted, (bytes) => largeJson(request, bytes, strict))
  }
  if (isLarge) throw new BrokerError('request_too_large')
  return take(request, { max: MAX_REPLAYABLE_BYTES, hold }, async (bytes, isWhole) => {
    if (!isWhole) throw new BrokerError('request_too_large')
    const readable = await decoded(bytes, request, hold)
    return kept(bytes, readable, readable ? findModel(readable, strict) : 'unread')
  })
}

/** What comes behind its beginning is not read, and may name another model. */
function largeJson(request: IncomingMessage, beginning: Buffer, strict: boolean): ClientBody {
  const scan = strict ? 'unread' : findModel(beginning.subarray(0, MAX_BEGINNING_BYTES), false)
  return { ...streamed(request, beginning, scan === 'none' ? 'unread' : scan), isLargeJson: true }
}

/** The model may come last, behind the file (RFC 7578 leaves that to the writer): what is before it has to wait. */
function readForm(
  request: IncomingMessage,
  contentType: string,
  strict: boolean,
  hold: Hold,
): Promise<ClientBody> {
  const { headers } = request
  const canLook = !strict && !isCoded(headers)
  const find = (bytes: Buffer, isWhole: boolean) => findModelInForm(bytes, contentType, { strict, isWhole })
  const max = announcesTooMuch(headers) ? MAX_BEGINNING_BYTES : MAX_REPLAYABLE_BYTES
  const isEnough = canLook ? (beginning: Buffer) => find(beginning, false) !== 'none' : undefined
  return take(request, { max, hold, isEnough }, async (bytes, isWhole) => {
    if (!isWhole) return streamed(request, bytes, canLook ? find(bytes, false) : 'unread')
    const readable = await decoded(bytes, request, hold)
    return kept(bytes, readable, readable ? find(readable, true) : 'unread')
  })
}

/** @throws BrokerError request_too_large | rate_limit_exceeded | overloaded */
async function decoded(bytes: Buffer, { headers }: IncomingMessage, hold: Hold): Promise<Buffer | undefined> {
  const readable = await withoutCodings(bytes, headers, MAX_REPLAYABLE_BYTES)
  if (readable && readable !== bytes) hold.add(readable.length)
  return readable
}

function kept(sent: Buffer, readable: Buffer | undefined, scan: ModelScan): ClientBody {
  return { sent, readable, scan, isLargeJson: false }
}

function streamed(sent: IncomingMessage, readable: Buffer | undefined, scan: ModelScan): ClientBody {
  return { sent, readable, scan, isLargeJson: false }
}

interface Wanted {
  readonly max: number
  readonly hold: Hold
  /** Whether the beginning is all that is needed. */
  readonly isEnough?: ((bytes: Buffer) => boolean) | undefined
}

/** Looks now and then whether there is enough: all looks together read no more than twice what there is. */
class Search {
  readonly #isEnough: (bytes: Buffer) => boolean
  #nextLook = 0

  constructor(isEnough: (bytes: Buffer) => boolean) {
    this.#isEnough = isEnough
  }

  isOver(pieces: Pieces, size: number): boolean {
    if (size < this.#nextLook) return false
    this.#nextLook = 2 * size
    return this.#isEnough(pieces.whole())
  }
}

type Read = (bytes: Buffer, isWhole: boolean) => ClientBody | Promise<ClientBody>

/**
 * Takes bytes until the end, until they are more than `max`, or `isEnough`. What was announced is held from the
 * start, unless only some of it may be wanted; the rest as it comes.
 *
 * @param read is shown them at once, for every promise between would cost each call; else than whole, the request
 * waits, with the rest. Where there is none (it had arrived before anybody looked), the request is over in the next tick:
 * what was taken is the whole, even if the last piece is beyond `max`
 * @throws BrokerError malformed_request | request_timeout | rate_limit_exceeded | overloaded
 */
function take(request: IncomingMessage, wanted: Wanted, read: Read): Promise<ClientBody> {
  return new Promise((resolve, reject) => {
    if (request.destroyed) return reject(clientLeft()) // while its key was read: nothing more will be heard of it
    const taking = new Taking(request, wanted, read, resolve, reject)
    ;(request as Taken)[TAKING] = taking
    // The same functions for every request, and none with `once`, whose wrappers cost a call more than one that finds
    // nothing to do.
    request.on('data', onData).on('end', onEnd).on('error', onError).on('close', onClose)
  })
}

/** Where its listeners find who takes a request's body. Nothing keeps the body once it is taken: its answer may be long. */
const TAKING = Symbol('taking')
type Taken = IncomingMessage & { [TAKING]?: Taking | undefined }

function onData(this: Taken, bytes: Buffer): void {
  this[TAKING]?.push(bytes)
}

function onEnd(this: Taken): void {
  this[TAKING]?.finish(true)
}

function onError(this: Taken, cause: Error): void {
  const isOurs = cause instanceof BrokerError
  this[TAKING]?.fail(isOurs ? cause : new BrokerError('malformed_request', { cause }))
}

/** Every request closes; an error made for each, with its stack, would cost a tenth of the whole call. */
function onClose(this: Taken): void {
  if (!this.complete) this[TAKING]?.fail(clientLeft())
}

class Taking {
  readonly #request: Taken
  readonly #max: number
  readonly #hold: Hold
  readonly #search: Search | undefined
  readonly #read: Read
  readonly #resolve: (body: ClientBody | Promise<ClientBody>) => void
  readonly #reject: (error: unknown) => void
  readonly #pieces = new Pieces()
  #size = 0
  #held: number

  /** @throws BrokerError rate_limit_exceeded | overloaded */
  constructor(
    request: Taken,
    { max, hold, isEnough }: Wanted,
    read: Read,
    resolve: (body: ClientBody | Promise<ClientBody>) => void,
    reject: (error: unknown) => void,
  ) {
    this.#request = request
    this.#max = max
    this.#hold = hold
    this.#search = isEnough && new Search(isEnough)
    this.#read = read
    this.#resolve = resolve
    this.#reject = reject
    this.#held = isEnough ? 0 : Math.min(max, Number(request.headers['content-length'] ?? 0))
    hold.add(this.#held)
  }

  push(bytes: Buffer): void {
    this.#size += bytes.length
    try {
      if (this.#size > this.#held) this.#hold.add(this.#size - this.#held)
    } catch (error) {
      this.#stop()
      this.fail(error)
      return
    }
    this.#held = Math.max(this.#held, this.#size)
    this.#pieces.push(bytes)
    if (this.#size <= this.#max && !this.#search?.isOver(this.#pieces, this.#size)) return
    this.#stop()
    this.finish(this.#request.complete && this.#request.readableLength === 0)
  }

  finish(isWhole: boolean): void {
    this.#request[TAKING] = undefined
    try {
      this.#resolve(this.#read(this.#pieces.taken(), isWhole))
    } catch (error) {
      this.#reject(error)
    }
  }

  fail(error: unknown): void {
    this.#request[TAKING] = undefined
    this.#reject(error)
  }

  #stop(): void {
    this.#request.off('data', onData).off('end', onEnd).pause()
  }
}

function clientLeft(): BrokerError {
  return new BrokerError('malformed_request', { detail: 'the client left' })
}
