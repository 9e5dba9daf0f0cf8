/**
 * Passes an answer on: bytes unchanged, chunk by chunk, in the tick they arrive, no faster than the client reads.
 *
 * A stream that upstream breaks off ends with an explicit `error` event; any other answer is cut, so that its
 * end is never mistaken for the real one.
 */
import type { ServerResponse } from 'node:http'
import { BrokerError } from '../base/errors.ts'
import type { HeaderList } from '../upstream/headers.ts'
import type { Head, UpstreamCall } from '../upstream/send.ts'
import { errorEvent } from './openai-error.ts'

/** Before {@link relay}. @throws BrokerError upstream_broken if Node would not send such a head on */
export function relayHead(
  call: UpstreamCall,
  { status }: Head,
  headers: HeaderList,
  client: ServerResponse,
): void {
  try {
    client.writeHead(status, headers)
  } catch (cause) {
    call.cancel()
    throw new BrokerError('upstream_broken', { cause, detail: 'its head cannot be passed on' })
  }
}

/**
 * @param tail is shown every chunk
 * @param done called once, when the last byte is handed to the socket or upstream broke off
 */
export function relay(
  call: UpstreamCall,
  head: Head,
  client: ServerResponse,
  tail: { push(bytes: Buffer): void } | undefined,
  done: (failure: BrokerError | undefined, hasLeft: boolean) => void,
): void {
  const whole = call.takeWhole()
  if (whole) {
    tail?.push(whole)
    // As latin1 text every byte stays itself, and Node puts head and body into one buffer and one system call.
    client.end(whole.toString('latin1'), 'latin1')
    done(undefined, false)
    return
  }
  const resume = () => call.resume()
  let isHeadOut = false
  call.pipeTo({
    chunk(bytes) {
      isHeadOut = true
      tail?.push(bytes)
      if (client.write(bytes)) return true
      client.once('drain', resume)
      return false
    },
    end() {
      client.end()
      done(undefined, false)
    },
    fail(error) {
      const hasLeft = client.destroyed
      if (isPlainEventStream(head)) client.end(errorEvent(error))
      else client.destroy()
      done(error, hasLeft)
    },
  })
  // The head goes out at once even if the first chunk takes its time; `headersSent` is true from writeHead on.
  if (!call.isEnded && !isHeadOut) client.flushHeaders()
}

/** Nothing can be added to a compressed stream. */
function isPlainEventStream({ headers }: Head): boolean {
  return (
    headers['content-encoding'] === undefined &&
    String(headers['content-type']).startsWith('text/event-stream')
  )
}
