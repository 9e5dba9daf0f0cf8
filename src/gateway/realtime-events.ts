/**
 * What the messages of a realtime connection mean to the books: which ask for an answer, and what answers cost.
 */
import { JsonMembers, MemberPaths } from '../usage/json-members.ts'
import { type TokenCounts, UsageSum } from '../usage/token-counts.ts'
import type { FrameSink } from './frames.ts'

export interface Books {
  /** Behind each message that asks for an answer (`response.create`), and before each answer that nobody asked for. */
  answer(): void
  /** What each answer cost (`response.done`), and each transcript. */
  cost(tokenCounts: TokenCounts): void
}

/** Of one connection. Where the server hears a person stop speaking it answers without having been asked. */
export function messagesIn({ answer, cost }: Books): { fromClient: FrameSink; fromUpstream: FrameSink } {
  let awaited = 0
  const asked = () => {
    answer()
    awaited += 1
  }
  const begun = () => {
    if (awaited > 0) awaited -= 1
    else answer()
  }
  return { fromClient: requestsIn(asked), fromUpstream: answersIn(begun, cost) }
}

const OF_REQUESTS = new MemberPaths('type')
const OF_ANSWERS = new MemberPaths('type', 'usage', 'response.usage')

function requestsIn(asked: () => void): FrameSink {
  let asks = false
  const members = new JsonMembers(OF_REQUESTS, (_, type) => {
    asks ||= type === 'response.create'
  })
  return sinkInto(members, () => {
    if (!asks) return
    asks = false
    asked()
  })
}

function answersIn(begun: () => void, tell: Books['cost']): FrameSink {
  let sum: UsageSum | undefined
  let begins = false
  const members = new JsonMembers(OF_ANSWERS, (path, value) => {
    if (path === 'type') begins ||= value === 'response.created'
    if (path === 'type' || value === null) return
    sum ??= new UsageSum()
    sum.add(value)
  })
  return sinkInto(members, () => {
    if (sum) tell(sum.tokenCounts)
    sum = undefined
    if (!begins) return
    begins = false
    begun()
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
