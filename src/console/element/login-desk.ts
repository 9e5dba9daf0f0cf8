/**
 * A login as a page sees it: begin it, then follow it to its end (docs/api.md, Onboarding).
 *
 * Follows the desk's events, if it has any; where a proxy swallows them or the connection fails for good, looks at the
 * pace the broker asks for. Knows nothing of what is shown.
 */
import type { LoginBegun } from '../../admin/config-answers.ts'
import type { LoginStatus } from '../../onboarding/answers.ts'

export type LoginEnd =
  | { readonly kind: 'connected'; readonly token: unknown }
  | { readonly kind: 'failed'; readonly problem: Problem }

/** An error body of the broker, `message` in English and `detail` in Chinese; `unreachable` where there was none. */
export interface Problem {
  readonly code: string
  readonly message: string
  readonly detail: string
  readonly retryAfterSeconds?: number
}

/** Who begins a login and knows how it stands. */
export interface LoginDesk {
  begin(signal: AbortSignal): Promise<Response>
  look(sessionId: string, signal: AbortSignal): Promise<Response>
  /** Where a stream of events tells it as it happens. */
  readonly events?: (sessionId: string) => string
}

/** By a code for the provider's page … */
export type DeviceLogin = Extract<LoginBegun, { user_code: string }>
/** … or on that page alone, from which the browser comes back to the broker. */
export type BrowserLogin = Extract<LoginBegun, { authorization_url: string }>

/** Whatever the browser prefers: the element has a language of its own, and may change it. */
const ENGLISH = 'lang=en'
const SILENCE_MS = 12_000
const RETRY_MS = 4_000
const UNREACHABLE: Problem = { code: 'unreachable', message: '', detail: '' }

/** The broker itself, for anybody: whoever knows the session gets the tokens. */
export function openDesk(broker: string, provider: string): LoginDesk {
  const base = `${broker.replace(/\/+$/, '')}/api/${encodeURIComponent(provider)}/oauth`
  const query = (sessionId: string) => `?session_id=${encodeURIComponent(sessionId)}&${ENGLISH}`
  const headers = { 'content-type': 'application/json' }
  return {
    begin: (signal) =>
      fetch(`${base}/device-code?${ENGLISH}`, {
        method: 'POST',
        headers,
        body: '{}',
        credentials: 'omit',
        signal,
      }),
    look: (sessionId, signal) => fetch(`${base}/status${query(sessionId)}`, { credentials: 'omit', signal }),
    events: (sessionId) => `${base}/events${query(sessionId)}`,
  }
}

export async function beginLogin(desk: LoginDesk, signal: AbortSignal): Promise<LoginBegun | Problem> {
  try {
    const response = await desk.begin(signal)
    const body = await response.json()
    if (response.ok) return body as LoginBegun
    const wait = Number(response.headers.get('retry-after'))
    return { ...(body as Problem), ...(wait > 0 && { retryAfterSeconds: wait }) }
  } catch {
    return UNREACHABLE
  }
}

/** @param signal ends it; then the promise never resolves */
export async function followLogin(
  desk: LoginDesk,
  { session_id: id, expires_in }: LoginBegun,
  signal: AbortSignal,
): Promise<LoginEnd> {
  const heard = desk.events && (await listen(desk.events(id), signal))
  return heard ?? poll(() => desk.look(id, signal), Date.now() + (expires_in + 60) * 1000, signal)
}

/** The address that a login by browser ended at, from a person's hand. @returns what is wrong with it */
export async function bringAnswer(
  broker: string,
  answer: { readonly session_id: string; readonly url: string },
  signal: AbortSignal,
): Promise<Problem | undefined> {
  try {
    const response = await fetch(`${broker.replace(/\/+$/, '')}/api/oauth/callback?${ENGLISH}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(answer),
      credentials: 'omit',
      signal,
    })
    return response.ok ? undefined : ((await response.json()) as Problem)
  } catch {
    return UNREACHABLE
  }
}

/** Undefined if events do not come through. */
function listen(url: string, signal: AbortSignal): Promise<LoginEnd | undefined> {
  return new Promise((resolve) => {
    const source = new EventSource(url)
    let silence = setTimeout(giveUp, SILENCE_MS)
    const end = (result: LoginEnd | undefined) => {
      clearTimeout(silence)
      source.close()
      if (!signal.aborted) resolve(result)
    }
    function giveUp() {
      end(undefined)
    }
    signal.addEventListener('abort', giveUp, { once: true })
    source.addEventListener('message', ({ data }) => {
      // Once something came, the way is open: from now on only the browser's own reconnecting counts.
      clearTimeout(silence)
      const status = JSON.parse(data) as LoginStatus
      if (status.status === 'success') end({ kind: 'connected', token: status.token })
    })
    source.addEventListener('error', (event) => {
      if (event instanceof MessageEvent)
        return end({ kind: 'failed', problem: JSON.parse(event.data) as Problem })
      if (source.readyState === EventSource.CLOSED) return giveUp()
      clearTimeout(silence)
      silence = setTimeout(giveUp, SILENCE_MS)
    })
  })
}

async function poll(ask: () => Promise<Response>, giveUpAt: number, signal: AbortSignal): Promise<LoginEnd> {
  while (Date.now() < giveUpAt) {
    const answer = await look(ask)
    if (typeof answer !== 'number') return answer
    await pause(answer, signal)
  }
  return { kind: 'failed', problem: UNREACHABLE }
}

/** How it ended, or how long to wait before looking again. */
async function look(ask: () => Promise<Response>): Promise<LoginEnd | number> {
  try {
    const response = await ask()
    const isRefused = response.status === 502 // the authorization server refuses this login for good
    if ((response.status >= 500 && !isRefused) || response.status === 429) return RETRY_MS
    const body = await response.json()
    if (!response.ok) return { kind: 'failed', problem: body as Problem }
    const status = body as LoginStatus
    return status.status === 'success' ? { kind: 'connected', token: status.token } : status.retry_after
  } catch {
    return RETRY_MS
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => clearTimeout(timer), { once: true })
  })
}
