/**
 * The ids in an answer that later calls name: of what a call made, at the top level of JSON or in the first event of a
 * stream (`id`, `response.id`), and of what a batch or a fine-tuning has come to: files, a model.
 */

import { headerValue } from '../http1/header-list.ts'
import type { Head } from '../upstream/call.ts'
import { EventTexts } from '../usage/event-texts.ts'
import { JsonMembers, MemberPaths } from '../usage/json-members.ts'
import type { Answer, ClientCall } from './client-call.ts'
import type { Gate } from './held-sink.ts'
import type { Homes } from './homes.ts'
import type { Named } from './named-ids.ts'
import { isEventStream } from './relay.ts'
import { Unpacking } from './unpacking.ts'

/** Of an answer, so much is looked at, without its coding. */
const MAX_BYTES = 64 * 1024
const MAX_LENGTH = 200
const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i
const MADE = new MemberPaths('id', 'response.id')
const RESULTS = new MemberPaths('output_file_id', 'error_file_id', 'fine_tuned_model')

/** Paths below `/v1` whose answers have ids that no call ever names, or none. */
const FLEETING =
  /^\/v1\/(?:completions|embeddings|messages|messages\/count_tokens|responses\/input_tokens|moderations|rerank|audio\/(?:speech|transcriptions|translations)|images\/\w+)\/?(?:\?|$)/
/** Whose ids are named only if `store` is asked for. */
const STORED_IF_ASKED = /^\/v1\/chat\/completions\/?(?:\?|$)/

const JOB = /^\/v1\/(?:batches|fine_tuning\/jobs)\/[^/?]+\/?(?:\?|$)/

/** What its answer may name that later calls name. @param target as the client asked */
function namedInAnswer(method: string, target: string, { store }: Named): MemberPaths | undefined {
  if (method === 'GET') return JOB.test(target) ? RESULTS : undefined
  if (method !== 'POST' || store === false || FLEETING.test(target)) return undefined
  return store === true || !STORED_IF_ASKED.test(target) ? MADE : undefined
}

/** Undefined if the answer makes nothing that has to be found again. */
export function gateFor(
  { request, target, named, key }: ClientCall,
  { head, route }: Answer,
  homes: Pick<Homes, 'note'>,
): Gate | undefined {
  const paths = named && namedInAnswer(request.method, target, named)
  const made = paths && MadeIds.in(head, paths)
  if (!made) return undefined
  const note = async (ids: readonly string[]) => {
    await Promise.all(ids.map((id) => homes.note(key.id, id, route.config.id)))
  }
  const unpacking = Unpacking.of(headerValue(head.headers, 'content-encoding'), MAX_BYTES)
  return (bytes) => {
    if (made.isOver) return undefined
    if (unpacking) return unpacking.push(bytes).then((plain) => note(made.push(plain, unpacking.isOver)))
    const ids = made.push(bytes)
    return ids.length === 0 ? undefined : note(ids)
  }
}

/** Is shown an answer from its beginning, until it has found its ids or will find none. */
class MadeIds {
  readonly #members: JsonMembers
  readonly #texts: Pick<JsonMembers, 'push'>
  #bytes = 0
  readonly #wanted: number
  #found: string[] = []
  #count = 0
  isOver = false

  /** Undefined for an answer that names none. */
  static in({ status, headers }: Head, paths: MemberPaths): MadeIds | undefined {
    const contentType = headerValue(headers, 'content-type') ?? ''
    const isEvents = isEventStream(contentType)
    if (status < 200 || status > 299 || (!isEvents && !JSON_TYPE.test(contentType))) return undefined
    return new MadeIds(paths, isEvents)
  }

  private constructor(paths: MemberPaths, isEvents: boolean) {
    this.#wanted = paths === MADE ? 1 : paths.all.size
    this.#members = new JsonMembers(paths, (_, value) => this.#take(value))
    // The first event alone counts.
    let hasBegun = false
    const first = {
      push: (piece: string) => {
        hasBegun = true
        this.#members.push(piece)
      },
      reset: () => {
        if (hasBegun) this.isOver = true // else it was a comment
      },
    }
    this.#texts = isEvents ? new EventTexts(first) : this.#members
  }

  /** @returns the ids that are there with this piece. @param isLast no further one can be read */
  push(bytes: Buffer, isLast = false): readonly string[] {
    if (bytes.length > 0) this.#texts.push(bytes.toString('latin1', 0, MAX_BYTES - this.#bytes))
    this.#bytes += bytes.length
    if (this.#count === this.#wanted || this.#members.isOver || this.#bytes >= MAX_BYTES || isLast)
      this.isOver = true
    const found = this.#found
    this.#found = []
    return found
  }

  #take(value: unknown): void {
    if (typeof value !== 'string' || value.length > MAX_LENGTH || this.#count === this.#wanted) return
    this.#count += 1
    this.#found.push(value)
  }
}
