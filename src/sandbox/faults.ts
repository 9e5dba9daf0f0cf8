/**
 * Programmable faults: what servers and networks do on bad days.
 *
 * Works from hooks around the handlers, which know nothing of it.
 */
import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { sleep } from '../base/clock.ts'

const POINTS = ['device_code', 'token', 'refresh', 'upstream'] as const
/** `token` is the token endpoint for every grant but `refresh_token`, `refresh` for that one alone. */
export type FaultPoint = (typeof POINTS)[number]

const FAULT = Type.Object(
  {
    /** Answer this instead of handling the request. */
    status: Type.Optional(Type.Integer({ minimum: 200, maximum: 599 })),
    /** An object is sent as JSON, a text as HTML unless `contentType` says otherwise. */
    body: Type.Optional(Type.Union([Type.String(), Type.Record(Type.String(), Type.Unknown())])),
    contentType: Type.Optional(Type.String()),
    headers: Type.Optional(Type.Record(Type.String(), Type.String())),
    /** Cut the connection before handling. */
    drop: Type.Optional(Type.Literal(true)),
    /** Never handle, never answer. */
    hang: Type.Optional(Type.Literal(true)),
    /** Handle at once, answer so much later. */
    delayMs: Type.Optional(Type.Number({ minimum: 0 })),
    /** Handle, then cut the connection before answering. */
    afterHandling: Type.Optional(Type.Literal('drop')),
    /** Handle, then cut half way through the body; of a stream, half way through its second chunk. */
    halfBody: Type.Optional(Type.Literal(true)),
    /** Cut a streamed answer after so many chunks. */
    cutAfterChunks: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  { additionalProperties: false, minProperties: 1 },
)
export type Fault = Type.Static<typeof FAULT>

export const FAULT_ORDER = Type.Object(
  {
    at: Type.Enum(POINTS),
    fault: FAULT,
    times: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  { additionalProperties: false },
)
export type FaultOrder = Type.Static<typeof FAULT_ORDER>

export class Faults {
  readonly #queues = new Map<FaultPoint, { fault: Fault; left: number }[]>()

  /** The next `times` requests at this point meet the fault, after those already ordered. */
  next(at: FaultPoint, fault: Fault, times = 1): void {
    this.#queues.set(at, [...(this.#queues.get(at) ?? []), { fault, left: times }])
  }

  clear(): void {
    this.#queues.clear()
  }

  take(at: FaultPoint): Fault | undefined {
    const queue = this.#queues.get(at)
    const [first] = queue ?? []
    if (!first) return undefined
    first.left -= 1
    if (first.left <= 0) queue?.shift()
    return first.fault
  }
}

/** Applies faults to every route of the scope; `pointOf` says which queue a request belongs to. */
export function injectFaults(
  scope: FastifyInstance,
  faults: Faults,
  pointOf: (request: FastifyRequest) => FaultPoint | undefined,
): void {
  const met = new WeakMap<FastifyRequest, Fault>()
  scope.addHook('preHandler', async (request, reply) => {
    const point = pointOf(request)
    const fault = point && faults.take(point)
    if (!fault) return
    if (fault.drop || fault.hang) {
      reply.hijack()
      if (fault.drop) cut(reply)
      return reply
    }
    met.set(request, fault)
    if (fault.status === undefined) return
    return answerInstead(reply, fault, fault.status)
  })
  scope.addHook('onSend', async (request, reply, payload: unknown) => {
    const fault = met.get(request)
    if (!fault) return payload
    if (fault.delayMs !== undefined) await sleep(fault.delayMs)
    if (fault.afterHandling === 'drop') cut(reply)
    if (fault.halfBody) return halfOf(reply, payload)
    if (fault.cutAfterChunks !== undefined && payload instanceof Readable) {
      return firstChunks(reply, payload, fault.cutAfterChunks)
    }
    return payload
  })
}

const cutByUs = new WeakSet<FastifyReply['raw']>()

/** Whether a connection that closed early was closed by a fault, not by the client. */
export function wasCut(reply: FastifyReply): boolean {
  return cutByUs.has(reply.raw)
}

function cut(reply: FastifyReply): void {
  cutByUs.add(reply.raw)
  reply.raw.socket?.destroy()
}

function answerInstead(reply: FastifyReply, fault: Fault, status: number): FastifyReply {
  const isText = fault.body === undefined || typeof fault.body === 'string'
  return reply
    .code(status)
    .type(fault.contentType ?? (isText ? 'text/html; charset=utf-8' : 'application/json'))
    .headers(fault.headers ?? {})
    .send(isText ? fault.body : JSON.stringify(fault.body))
}

function halfOf(reply: FastifyReply, payload: unknown): Readable {
  if (payload instanceof Readable) return firstChunks(reply, payload, 1.5)
  const whole = Buffer.from(typeof payload === 'string' ? payload : '')
  reply.header('content-length', whole.length)
  return firstChunks(reply, Readable.from([whole]), 0.5)
}

/** So many chunks, the last perhaps in part, then the cut. */
function firstChunks(reply: FastifyReply, payload: Readable, count: number): Readable {
  async function* chunks() {
    reply.raw.flushHeaders()
    let left = count
    for await (const chunk of payload) {
      if (left < 1) {
        const bytes = Buffer.from(chunk)
        if (left > 0) yield bytes.subarray(0, Math.ceil(bytes.length * left))
        break
      }
      yield chunk
      left -= 1
    }
    // What was written leaves the process only after this turn of the event loop.
    await setImmediate()
    cut(reply)
  }
  return Readable.from(chunks())
}
