/**
 * Server-sent events as they are written (WHATWG HTML §9.2).
 */

/** Nginx would otherwise gather an answer before it passes it on. */
export const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'x-accel-buffering': 'no',
} as const

/** Says nothing, so that nobody on the way takes silence for an end. */
export const KEEP_ALIVE = ': keep-alive\n\n'

/** @param name of the event; one without is a `message` */
export function serverSentEvent(data: object, name?: string): string {
  const lines = `data: ${JSON.stringify(data)}\n\n`
  return name === undefined ? lines : `event: ${name}\n${lines}`
}
