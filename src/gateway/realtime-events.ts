/**
 * What the messages of a realtime connection mean to the books: which ask for an answer, what answers cost, and the ids
 * of those that are stored.
 */
import { JsonMembers, MemberPaths } from '../usage/json-members.ts'
import { type TokenCounts, UsageSum } from '../usage/token-counts.ts'
import type { FrameSink } from './frames.ts'

export interface Books {
  /** Behind each message that asks for an answer (`response.create`), and before each answer that nobody asked for. */
  answer(): void
  /** What each answer cost (`response.done`), and each transcript. */
  cost(tokenCounts: TokenCounts): void
  /** The id of each answer (`response.created`), unless all that are awaited were asked for with `store: false`. */
  made(id: string): void
}

/** Of one connection. Where the server hears a person stop speaking it answers without having been asked. */
export function messagesIn(books: Books): { fromClient: FrameSink; fromUpstream: FrameSink } {
  const { answer, cost, made } = books
  let [awaited, stored] = [0, 0]
  const asked = (stores: boolean) => {
    answer()
    awaited += 1
    if (stores) stored += 1
  }
  const begun = (id: unknown) => {
    if (awaited === 0) answer()
    if ((awaited === 0 || stored > 0) && typeof id === 'string' && id.length <= MAX_ID_LENGTH) made(id)
    awaited = Math.max(0, awaited - 1)
    stored = Math.min(stored, awaited) // of several at once nobody says which is begun
  }
  return { fromClient: requestsIn(asked), fromUpstream: answersIn(begun, cost) }
}

const MAX_ID_LENGTH = 200
const OF_REQUESTS = new MemberPaths('type', 'store')
const OF_ANSWERS = new MemberPaths('type', 'usage', 'response.usage', 'response.id')

function requestsIn(asked: (stores: boolean) => void): FrameSink {
  let asks = false
  let stores = true
  const members = new JsonMembers(OF_REQUESTS, (path, value) => {
    if (path === 'store') stores = value !== false
    else asks ||= value === 'response.create'
  })
  return sinkInto(members, () => {
    if (asks) asked(stores)
    asks = false
    stores = true
  })
}

function answersIn(begun: (id: unknown) => void, tell: Books['cost']): FrameSink {
  let sum: UsageSum | undefined
  let begins = false
  let id: unknown
  const members = new JsonMembers(OF_ANSWERS, (path, value) => {
    if (path === 'type') begins ||= value === 'response.created'
    else if (path === 'response.id') id = value
    else if (value !== null) {
      sum ??= new UsageSum()
      sum.add(value)
    }
  })
  return sinkInto(members, () => {
    if (sum) tell(sum.tokenCounts)
    sum = undefined
    if (begins) begun(id)
    begins = false
    id = undefined
  })
}

function sinkInto(members: JsonMembers, onMessage: () => void): FrameSink {
  return {
    get wantsMore() {
      return !members.isOver
    },
    onData: (text) => members.push(text),
    onMessageEnd() {
      members.reset()
      onMessage()
    },
  }
}
