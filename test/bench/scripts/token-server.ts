/**
 * A strict token endpoint that takes its time: `/REPLICA/token`, so that it can tell who asks. A login is a name,
 * `NAME.0` its first refresh token; each is good once. Any message from the bench is answered with the counts.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { options, serve, tell } from './parent.ts'

/** Since the start. */
export interface TokenCounts {
  readonly granted: number
  /** Refresh tokens that were sent twice. */
  readonly reused: number
  /** By replica: how many were granted to it, and the most it ever had under way. */
  readonly replicas: Readonly<Record<string, { granted: number; underWay: number; mostUnderWay: number }>>
  /** Logins in the order in which they came, if that was asked for. */
  readonly order?: readonly string[]
}

const { answerMs } = options<{ answerMs: number }>()
const counts = { granted: 0, reused: 0, replicas: {} as Record<string, TokenCounts['replicas'][string]> }
const generations = new Map<string, number>()
const order: string[] = []

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const name = request.url?.split('/')[1] ?? ''
  counts.replicas[name] ??= { granted: 0, underWay: 0, mostUnderWay: 0 }
  const replica = counts.replicas[name]
  replica.underWay += 1
  replica.mostUnderWay = Math.max(replica.mostUnderWay, replica.underWay)
  let text = ''
  for await (const chunk of request) text += chunk
  const login = grant(new URLSearchParams(text).get('refresh_token') ?? '')
  await sleep(answerMs)
  replica.underWay -= 1
  if (login) replica.granted += 1
  const body = login
    ? { access_token: `access-of-${login}`, token_type: 'Bearer', expires_in: 3_600, refresh_token: login }
    : { error: 'invalid_grant' }
  response.writeHead(login ? 200 : 400, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

/** @returns the next refresh token; undefined if this one was used before */
function grant(refreshToken: string): string | undefined {
  const [login = '', generation] = refreshToken.split('.')
  const expected = generations.get(login) ?? 0
  if (Number(generation) !== expected) {
    counts.reused += 1
    return undefined
  }
  counts.granted += 1
  order.push(login)
  generations.set(login, expected + 1)
  return `${login}.${expected + 1}`
}

process.on('message', (asked: { order?: boolean }) =>
  tell({ type: 'result', result: { ...counts, ...(asked.order && { order }) } satisfies TokenCounts }),
)
serve(createServer((request, response) => void answer(request, response)))
