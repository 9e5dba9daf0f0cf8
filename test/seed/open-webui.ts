/**
 * As much of an Open WebUI server as a session needs: `/api/v1/auths/` and completions, behind a JWT.
 */
import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { KeyPair } from '../support/certificates.ts'

const DAY = 86_400_000

export interface OpenWebUi {
  readonly origin: string
  /** Tokens and instants of the calls of `/api/v1/auths/`. */
  readonly renewals: { token: string; at: number }[]
  /** Tokens of the calls of `/api/chat/completions`. */
  readonly completions: string[]
  /** Answers of the next renewals, before it answers well again. */
  readonly mishaps: ({ status: number; body: string; headers?: Record<string, string> } | 'cut')[]
}

/**
 * @param renewsForDays as the seed saw it; 0: as the public code does, the same token with its old end
 * @param pair speaks TLS
 */
export async function startOpenWebUi(t: Test, renewsForDays: number, pair?: KeyPair): Promise<OpenWebUi> {
  const state = { renewals: [], completions: [], mishaps: [] } as Omit<OpenWebUi, 'origin'>
  const listener: RequestListener = (request, response) => {
    request.resume()
    const token = request.headers.authorization?.replace('Bearer ', '') ?? ''
    const answer = (status: number, body: string, headers: Record<string, string> = {}) =>
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)
    if (request.url !== '/api/v1/auths/') {
      state.completions.push(token)
      return answer(200, JSON.stringify({ path: request.url, choices: [{ message: { content: '你好' } }] }))
    }
    state.renewals.push({ token, at: Date.now() })
    const mishap = state.mishaps.shift()
    if (mishap === 'cut') return cut(request)
    if (mishap) return answer(mishap.status, mishap.body, mishap.headers)
    const next = renewsForDays === 0 ? token : sessionToken(renewsForDays)
    const { id, exp } = JSON.parse(Buffer.from(next.split('.')[1] ?? '', 'base64url').toString())
    const user = { id, email: 'user@example.com', name: 'User Name', role: 'user', permissions: {} }
    return answer(200, JSON.stringify({ ...user, token: next, token_type: 'Bearer', expires_at: exp }))
  }
  const http: Server = pair ? createHttps(pair, listener) : createServer(listener)
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    http.closeAllConnections()
    http.close()
  })
  return { ...state, origin: `http://127.0.0.1:${(http.address() as AddressInfo).port}` }
}

/** CONFIG_FILE: both providers whose sessions are Open WebUI's have theirs at this server. */
export function sessionsAt({ origin }: OpenWebUi): string {
  const session = { refresh_endpoint: `${origin}/api/v1/auths/` }
  const openWebUi = { session, upstream: { base_url: `${origin}/api` } }
  const providers = { 'qwen-chat': { session }, 'open-webui': openWebUi }
  return JSON.stringify({ allow_insecure_loopback: true, providers }) // JSON is YAML
}

function cut({ socket }: IncomingMessage): void {
  socket.destroy()
}

/** A JWT that ends in so many days, issued 7 days before its end. */
export function sessionToken(daysLeft: number): string {
  const exp = Math.floor((Date.now() + daysLeft * DAY) / 1000)
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = { id: 'f4506b78-a768-4a55-89ac-c5fb61be7a08', iat: exp - 7 * 86_400, exp }
  return `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}.${randomBytes(32).toString('base64url')}`
}
