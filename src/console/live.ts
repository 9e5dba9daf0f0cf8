/**
 * `/api/live`: one stream for the whole page. Views ask to be told: of the first change at once, of a burst so often.
 */
import { resume, session } from './api.ts'
import { addressOf } from './root.ts'

const BURST_MS = 300
const REOPEN_MS = 5_000

const listeners = new Set<() => void>()
let source: EventSource | undefined
/** What was told a moment ago; true: there is more to tell when the moment is over. */
let burst: { hasMore: boolean } | undefined
/** Whoever greets again was away: something may have changed meanwhile. */
let hasGreeted = false
let reopening: ReturnType<typeof setTimeout> | undefined

/** @returns stops telling */
export function onLive(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export function openLive(): void {
  closeLive()
  source = new EventSource(addressOf('/api/live'))
  source.addEventListener('message', ({ data }) => {
    const isHello = (JSON.parse(data) as { kind: string }).kind === 'hello'
    const isFirst = isHello && !hasGreeted
    hasGreeted ||= isHello
    if (isFirst) return
    tell()
  })
  source.addEventListener('error', () => {
    if (source?.readyState !== EventSource.CLOSED) return // the browser comes back by itself
    reopening = setTimeout(async () => {
      if (await resume().catch(() => true)) openLive()
      else session.dispatchEvent(new Event('ended'))
    }, REOPEN_MS)
  })
}

function tell(): void {
  if (burst) {
    burst.hasMore = true
    return
  }
  for (const listener of listeners) listener()
  const told = { hasMore: false }
  burst = told
  setTimeout(() => {
    burst = undefined
    if (told.hasMore) tell()
  }, BURST_MS)
}

export function closeLive(): void {
  clearTimeout(reopening)
  source?.close()
  source = undefined
}
