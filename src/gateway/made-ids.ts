/**
 * The ids in an answer that later calls name: of what a call made, at the top level of JSON or in the first event of a
 * stream (`id`, `response.id`), or in its `Location`, of what comes with it, and of what a batch or a fine-tuning has come to: files, a model.
 */
import { headerValue } from '../http1/header-list.ts'
import type { Head } from '../upstream/call.ts'
import { EventTexts } from '../usage/event-texts.ts'
import { JsonMembers, MemberPaths } from '../usage/json-members.ts'
import type { Answer, ClientCall } from './client-call.ts'
import { DeepIds } from './deep-ids.ts'
import type { Gate } from './held-sink.ts'
import type { Homes } from './homes.ts'
import type { Named } from './named-ids.ts'
import { isEventStream } from './relay.ts'
import { Unpacking } from './unpacking.ts'

/** Of an answer, so much is looked at, without its coding. */
const MAX_BYTES = 64 * 1024
/** Of one in which they may stand anywhere. */
const MAX_DEEP_BYTES = 16 * 1024 * 1024
const MAX_LENGTH = 200
const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i
const MADE = new MemberPaths('id', 'response.id')
const RESULTS = new MemberPaths('output_file_id', 'error_file_id', 'fine_tuned_model', 'result_files')
/** Where one call makes two things. */
const ALSO_MADE: readonly (readonly [target: RegExp, paths: MemberPaths])[] = [
  [/^\/v1\/uploads\/[^/?]+\/complete\/?(?:\?|$)/, new MemberPaths('id', 'file.id')],
  [/^\/v1\/threads\/runs\/?(?:\?|$)/, new MemberPaths('id', 'thread_id')],
]

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
  if (store !== true && STORED_IF_ASKED.test(target)) return undefined
  return ALSO_MADE.find(([also]) => also.test(target))?.[1] ?? MADE
}

/** Looks for ids in an answer from its beginning, until it has found them or will find none. */
export interface IdSeeker {
  readonly isOver: boolean
  /** @returns the ids that are there with this piece. @param isLast no further one can be read */
  push(bytes: Buffer, isLast: boolean): readonly string[]
}

/** Undefined if the answer makes nothing that has to be found again. */
export function gateFor(
  { request, target, named, key }: ClientCall,
  { head, route }: Answer,
  homes: Pick<Homes, 'note'>,
): Gate | undefined {
  const coding = headerValue(head.headers, 'content-encoding')
  const seeker = named && seekerFor(request.method, target, named, head)
  if (!seeker) return undefined
  const note = async (ids: readonly string[]) => {
    await Promise.all(ids.map((id) => homes.note(key.id, id, route.config.id)))
  }
  const unpacking = Unpacking.of(coding, named.makesMore ? MAX_DEEP_BYTES : MAX_BYTES)
  return (bytes) => {
    if (seeker.isOver) return undefined
    if (unpacking) return unpacking.push(bytes).then((plain) => note(seeker.push(plain, unpacking.isOver)))
    const ids = seeker.push(bytes, false)
    return ids.length === 0 ? undefined : note(ids)
  }
}

function seekerFor(
  method: string,
  target: string,
  named: Named,
  { status, headers }: Head,
): IdSeeker | undefined {
  if (status < 200 || status > 299) return undefined
  if (method === 'POST' && CALLS.test(target)) return new LocatedId(headers)
  const contentType = headerValue(headers, 'content-type') ?? ''
  const isEvents = isEventStream(contentType)
  if (!isEvents && !JSON_TYPE.test(contentType)) return undefined
  const paths = namedInAnswer(method, target, named)
  const made = paths && new MadeIds(paths, isEvents)
  return named.makesMore ? new DeepIds(made, MAX_DEEP_BYTES) : made
}

/** Realtime calls are answered by SDP. */
const CALLS = /^\/v1\/realtime\/calls\/?(?:\?|$)/

/** The end of the address at which it was made. */
class LocatedId implements IdSeeker {
  readonly #headers: Head['headers']
  isOver = false

  constructor(headers: Head['headers']) {
    this.#headers = headers
  }

  push(): readonly string[] {
    this.isOver = true
    const id = /([^/?#]{1,200})(?:[?#].*)?$/s.exec(headerValue(this.#headers, 'location') ?? '')?.[1]
    return id === undefined ? [] : [id]
  }
}

/** At the top level, or in the first event of a stream. */
class MadeIds implements IdSeeker {
  readonly #members: JsonMembers
  readonly #texts: Pick<JsonMembers, 'push'>
  #bytes = 0
  readonly #wanted: number
  #found: string[] = []
  #count = 0
  isOver = false

  constructor(paths: MemberPaths, isEvents: boolean) {
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

  push(bytes: Buffer, isLast: boolean): readonly string[] {
    if (bytes.length > 0) this.#texts.push(bytes.toString('latin1', 0, MAX_BYTES - this.#bytes))
    this.#bytes += bytes.length
    if (this.#count === this.#wanted || this.#members.isOver || this.#bytes >= MAX_BYTES || isLast)
      this.isOver = true
    const found = this.#found
    this.#found = []
    return found
  }

  /** @param value one, or a list of them */
  #take(value: unknown): void {
    const ids = [value].flat().filter((id) => typeof id === 'string' && id.length <= MAX_LENGTH)
    if (ids.length === 0 || this.#count === this.#wanted) return
    this.#count += 1
    this.#found.push(...(ids as string[]))
  }
}
