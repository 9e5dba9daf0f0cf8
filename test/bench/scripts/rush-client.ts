/**
 * Many clients at the same moment, each with a connection of its own: what each is told, and after how long. Whoever is
 * told when to come back does so, as SDKs do, until it is served.
 */
import { Agent, request } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { finish, options } from './parent.ts'

export interface RushOptions {
  readonly port: number
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** One for each client, in the order in which they come. */
  readonly bodies: readonly string[]
  /** Nobody comes again after so long. */
  readonly giveUpMs: number
}

/** What one call was told. */
export interface Told {
  /** 0: the connection failed. */
  readonly status: number
  readonly code: string | undefined
  readonly retryAfterSeconds: number
  /** From before the connection was asked for to the end of the answer. */
  readonly ms: number
}

export interface RushResult {
  /** By client: what it was told each time. */
  readonly clients: readonly (readonly Told[])[]
  /** The longest that this client program itself stood still. */
  readonly heldUpMs: number
}

const given = options<RushOptions>()
const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
const startedAt = performance.now()
const delay = monitorEventLoopDelay({ resolution: 10 })
delay.enable()

async function comeUntilServed(body: string): Promise<Told[]> {
  const told: Told[] = []
  for (;;) {
    const last = await callOnce(body)
    told.push(last)
    const isLate = performance.now() - startedAt > given.giveUpMs
    if (last.status !== 503 || isLate) return told
    await sleep(1_000 * Math.max(1, last.retryAfterSeconds || 1))
  }
}

function callOnce(body: string): Promise<Told> {
  const since = performance.now()
  return new Promise((resolve) => {
    const { port, path, headers } = given
    const failed = () =>
      resolve({ status: 0, code: undefined, retryAfterSeconds: 0, ms: performance.now() - since })
    const call = request(
      { agent, host: '127.0.0.1', port, path, method: 'POST', headers },
      async (answer) => {
        let text = ''
        try {
          for await (const chunk of answer) text += chunk
        } catch {
          return failed()
        }
        resolve({
          status: answer.statusCode ?? 0,
          code: answer.statusCode === 200 ? undefined : codeIn(text),
          retryAfterSeconds: Number(answer.headers['retry-after'] ?? 0),
          ms: performance.now() - since,
        })
      },
    )
    call.on('error', failed)
    call.end(body)
  })
}

function codeIn(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: { code?: string } }).error?.code
  } catch {
    return undefined
  }
}

const clients = await Promise.all(given.bodies.map(comeUntilServed))
finish({ clients, heldUpMs: delay.max / 1e6 } satisfies RushResult)
