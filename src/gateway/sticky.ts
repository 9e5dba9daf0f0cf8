/**
 * `sticky_by` of a provider file: users are spread over neighbouring configs of the provider, and each keeps to
 * one, where the prompts are cached. Only the order changes, and only among neighbours: which configs may answer,
 * and which provider is asked first, is the key's business (routing.ts).
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { ModelConfig } from '../model-config/config-index.ts'
import type { Provider } from '../provider/provider.ts'
import { JsonMembers, MemberPaths } from '../usage/json-members.ts'

/** Configs in the order of the key, as they were at one version of its index. */
export interface Listing {
  readonly configs: readonly ModelConfig[]
  readonly version: number
}

export function* inStickyOrder(
  listing: Listing,
  providers: ReadonlyMap<string, Provider>,
  headers: IncomingHttpHeaders,
  body: Buffer | undefined,
): Generator<ModelConfig> {
  const { configs } = listing
  let provider: string | undefined
  let user: string | undefined
  const said = new Said(headers, body)
  for (let place = 0; place < configs.length; ) {
    const config = configs[place] as ModelConfig
    if (config.provider !== provider) {
      provider = config.provider
      user = said.first(providers.get(provider)?.upstream.stickyBy ?? [])
    }
    if (user) {
      const neighbours = neighboursIn(listing)
      for (const at of ranked(user, neighbours, place)) yield configs[at] as ModelConfig
      place = neighbours.ends[place] ?? configs.length
    } else {
      yield config
      place += 1
    }
  }
}

const OF_BODY = new MemberPaths('prompt_cache_key', 'user')
const PIECE_BYTES = 64 * 1024

/** Whose call it is, where it says so. */
class Said {
  readonly #headers: IncomingHttpHeaders
  readonly #body: Buffer | undefined
  #members: ReadonlyMap<string, unknown> | undefined

  constructor(headers: IncomingHttpHeaders, body: Buffer | undefined) {
    this.#headers = headers
    this.#body = body
  }

  /** Undefined if it says nothing in any of the places. */
  first(places: readonly string[]): string | undefined {
    for (const place of places) {
      const text = place.startsWith('header:')
        ? this.#headers[place.slice('header:'.length)]
        : this.#inBody(place)
      if (typeof text === 'string' && text !== '') return text
    }
    return undefined
  }

  /** The body is looked through once, and not beyond the last of them. */
  #inBody(name: string): unknown {
    this.#members ??= membersOf(this.#body)
    return this.#members.get(name)
  }
}

/** Of its texts each byte is a character, which does for telling them apart. */
function membersOf(body: Buffer = Buffer.alloc(0)): ReadonlyMap<string, unknown> {
  const found = new Map<string, unknown>()
  const members = new JsonMembers(OF_BODY, (name, value) => found.set(name, value))
  for (let at = 0; at < body.length && found.size < OF_BODY.all.size && !members.isOver; at += PIECE_BYTES)
    members.push(body.toString('latin1', at, at + PIECE_BYTES))
  return found
}

/** Of configs: a digest of each id, and where its run of neighbours ends. */
interface Neighbours {
  readonly version: number
  readonly digests: Uint32Array
  readonly ends: Uint32Array
}

const known = new WeakMap<readonly ModelConfig[], Neighbours>()

/** Kept until something changes: thousands of them cost a call no more than a hundred others. */
function neighboursIn({ configs, version }: Listing): Neighbours {
  const before = known.get(configs)
  if (before?.version === version) return before
  const ends = new Uint32Array(configs.length)
  for (let place = configs.length - 1; place >= 0; place -= 1) {
    const isAlone = configs[place]?.provider !== configs[place + 1]?.provider
    ends[place] = isAlone ? place + 1 : (ends[place + 1] ?? 0)
  }
  const neighbours = { version, ends, digests: Uint32Array.from(configs, ({ id }) => digestOf(id)) }
  known.set(configs, neighbours)
  return neighbours
}

/** A rank and a place in one number, so that thousands are compared without an object each. */
const PLACES = 2 ** 21
/** Hardly ever are more wanted; then all of them are put in order at once. */
const LOOKED_FOR = 4

/**
 * Places, in the order of a user. Rendezvous hashing: when one is out its users move, each to a place that stays the
 * same, and nobody else does.
 */
function* ranked(user: string, { digests, ends }: Neighbours, from: number): Generator<number> {
  const seed = digestOf(user)
  const to = ends[from] ?? from
  const rankOf = (place: number) => mixed(seed ^ (digests[place] ?? 0)) * PLACES + place
  const first: number[] = []
  let last = Number.POSITIVE_INFINITY
  for (let place = from; place < to; place += 1) {
    const rank = rankOf(place)
    if (rank > last) continue
    first.push(rank)
    first.sort((a, b) => a - b).splice(LOOKED_FOR)
    last = first[LOOKED_FOR - 1] ?? last
  }
  for (const rank of first) yield rank % PLACES
  if (first.length === to - from) return
  const all = Float64Array.from({ length: to - from }, (_, n) => rankOf(from + n)).sort()
  for (const rank of all.subarray(first.length)) yield rank % PLACES
}

/** FNV-1a, 32 bits. Nobody has to be kept from finding two texts that are alike. */
function digestOf(text: string): number {
  let digest = 0x811c9dc5
  for (let n = 0; n < text.length; n += 1) digest = Math.imul(digest ^ text.charCodeAt(n), 0x01000193)
  return mixed(digest)
}

/** Each bit of the one changes half of the other's: the end of MurmurHash3. */
function mixed(bits: number): number {
  let mix = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35)
  return (mix ^ (mix >>> 16)) >>> 0
}
