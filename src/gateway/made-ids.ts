/**
 * The id in an answer to a call that made something: at the top level of JSON, or in the first event of a stream
 * (`id`, `response.id`).
 */

import { headerValue } from '../http1/header-list.ts'
import type { Head } from '../upstream/call.ts'
import { EventTexts } from '../usage/event-texts.ts'
import { JsonMembers, MemberPaths } from '../usage/json-members.ts'
import type { Answer, ClientCall } from './client-call.ts'
import { beginningWithout } from './content-codings.ts'
import type { Gate } from './held-sink.ts'
import type { Homes } from './homes.ts'
import type { Named } from './named-ids.ts'
import { isEventStream } from './relay.ts'

/** Of an answer, so much is looked at, without its coding. */
const MAX_BYTES = 64 * 1024
const MAX_LENGTH = 200
const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i
const PATHS = new MemberPaths('id', 'response.id')

/** Paths below `/v1` whose answers have ids that no call ever names, or none. */
const FLEETING =
  /^\/v1\/(?:completions|embeddings|messages|messages\/count_tokens|responses\/input_tokens|moderations|rerank|audio\/(?:speech|transcriptions|translations)|images\/\w+)\/?(?:\?|$)/
/** Whose ids are named only if `store` is asked for. */
const STORED_IF_ASKED = /^\/v1\/chat\/completions\/?(?:\?|$)/

/** Whether the answer may name an id that later calls name. @param target as the client asked */
function makesSomething(method: string, target: string, { store }: Named): boolean {
  if (method !== 'POST' || store === false || FLEETING.test(target)) return false
  return store === true || !STORED_IF_ASKED.test(target)
}

/** Undefined if the answer makes nothing that has to be found again. */
export function gateFor(
  { request, target, named, key }: ClientCall,
  { head, route }: Answer,
  homes: Pick<Homes, 'note'>,
): Gate | undefined {
  if (!named || !makesSomething(request.method, target, named)) return undefined
  const made = MadeId.in(head)
  if (!made) return undefined
  return (bytes) => {
    const id = made.isOver ? undefined : made.push(bytes)
    return id === undefined ? undefined : homes.note(key.id, id, route.config.id)
  }
}

/** Is shown an answer from its beginning, until it has found its id or will find none. */
export class MadeId {
  readonly #coding: string | undefined
  readonly #members: JsonMembers
  readonly #texts: Pick<JsonMembers, 'push'>
  #bytes = 0
  #coded: Buffer[] = []
  #id: string | undefined
  isOver = false

  /** Undefined for an answer that names none. */
  static in({ status, headers }: Head): MadeId | undefined {
    const contentType = headerValue(headers, 'content-type') ?? ''
    const isEvents = isEventStream(contentType)
    if (status < 200 || status > 299 || (!isEvents && !JSON_TYPE.test(contentType))) return undefined
    return new MadeId(isEvents, headerValue(headers, 'content-encoding'))
  }

  private constructor(isEvents: boolean, coding: string | undefined) {
    this.#coding = coding
    this.#members = new JsonMembers(PATHS, (_, value) => {
      if (typeof value === 'string' && value.length <= MAX_LENGTH) this.#id ??= value
    })
    // The first event alone counts.
    let hasBegun = false
    const first = {
      push: (piece: string) => {
        hasBegun = true
        this.#members.push(piece)
      },
      reset: () => {
        if (hasBegun) this.#end() // else it was a comment
      },
    }
    this.#texts = isEvents ? new EventTexts(first) : this.#members
  }

  /** @returns the id, once it is there */
  push(bytes: Buffer): string | undefined {
    if (this.isOver) return undefined
    const plain = this.#coding === undefined ? bytes : this.#decoded(bytes, this.#coding)
    if (plain.length > 0) this.#texts.push(plain.toString('latin1', 0, MAX_BYTES - this.#bytes))
    this.#bytes += plain.length
    if (this.#id !== undefined || this.#members.isOver || this.#bytes >= MAX_BYTES) this.#end()
    return this.#id
  }

  /** What a further piece of a compressed answer adds. Anew from its beginning, for it hardly ever takes two. */
  #decoded(bytes: Buffer, coding: string): Buffer {
    this.#coded.push(Buffer.from(bytes))
    const coded = Buffer.concat(this.#coded)
    const plain = coded.length <= MAX_BYTES ? beginningWithout(coding, coded) : undefined
    if (!plain) this.#end()
    return plain?.subarray(this.#bytes) ?? Buffer.alloc(0)
  }

  #end(): void {
    this.isOver = true
    this.#coded = []
  }
}
