import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { chunkHead, LAST_CHUNK } from './chunk.ts'
import type { Connection } from './connection.ts'
import { ConnectionError } from './connection-error.ts'

/** A body on its way up, no faster than upstream takes it. */
export class Upload {
  isDone = false
  readonly #connection: Pick<Connection, 'noteUpload' | 'destroy'>
  readonly #socket: Socket
  readonly #body: Readable
  readonly #isChunked: boolean

  constructor(
    connection: Pick<Connection, 'noteUpload' | 'destroy'>,
    socket: Socket,
    head: string,
    body: Readable,
    contentLength?: string,
  ) {
    this.#connection = connection
    this.#socket = socket
    this.#body = body
    this.#isChunked = contentLength === undefined
    const length = this.#isChunked ? 'transfer-encoding: chunked' : `content-length: ${contentLength}`
    socket.write(`${head}${length}\r\n\r\n`, 'latin1')
    socket.on('drain', this.#onDrain)
    body.on('data', this.#onData).on('end', this.#onEnd).on('error', this.#onLoss).on('close', this.#onLoss)
    body.resume() // whoever has looked at its beginning has paused it
  }

  /** The body is no concern of ours any more; what is left of it is read, so that its sender comes to an end. */
  stop(): void {
    this.#socket.off('drain', this.#onDrain)
    const body = this.#body
    if (!this.isDone) body.resume()
    body
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('error', this.#onLoss)
      .off('close', this.#onLoss)
  }

  readonly #onDrain = () => this.#body.resume()

  readonly #onData = (bytes: Buffer) => {
    this.#connection.noteUpload()
    if (!this.#write(bytes)) this.#body.pause()
  }

  readonly #onEnd = () => {
    if (this.#isChunked) this.#socket.write(LAST_CHUNK, 'latin1')
    this.isDone = true
    this.stop()
  }

  readonly #onLoss = (cause?: unknown) =>
    this.#connection.destroy(new ConnectionError('UPLOAD_BROKEN', undefined, cause))

  #write(bytes: Buffer): boolean {
    if (!this.#isChunked) return this.#socket.write(bytes)
    this.#socket.cork()
    this.#socket.write(chunkHead(bytes.length), 'latin1')
    this.#socket.write(bytes)
    const takesMore = this.#socket.write('\r\n', 'latin1')
    this.#socket.uncork()
    return takesMore
  }
}
