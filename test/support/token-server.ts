/**
 * A strict token endpoint of the tests' own, with a model endpoint beside it, for hundreds of logins at once.
 *
 * A login is a name: `NAME.0` is its first refresh token, each is good once, and a second use is remembered.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Mood = 'good' | 'busy' | 'hanging'

export interface TokenServer {
  readonly origin: string
  /** What it does with refreshes from now on; those that hang go on hanging. */
  mood: Mood
  /** How long an answer takes; by default long enough that two requests at the same time meet. */
  answerMs: number
  /** Refreshes that arrived, by the login's name, in order. */
  readonly asked: string[]
  /** Epoch ms of the first of these, by the login's name. */
  readonly firstAskedAt: Map<string, number>
  /** Refreshes that are under way, and the most there ever were at once. */
  underWay: number
  mostUnderWay: number
  /** How many were under way when the first since it began to listen got its tokens. */
  underWayAtFirst: number | undefined
  /** Logins whose refresh token was sent twice. */
  readonly reused: string[]
  /** Nobody listens any more until {@link open}. */
  shut(): Promise<void>
  open(): Promise<void>
}

/** @param t whoever ends it: a test, a gate */
export async function startTokenServer(t: {
  teardown(work: () => Promise<void>): unknown
}): Promise<TokenServer> {
  const generations = new Map<string, number>()
  const server = createServer((request, response) => {
    if (request.url !== '/token') return json(response, 200, { ok: true })
    void refresh(request, response)
  })

  async function refresh(request: IncomingMessage, response: ServerResponse): Promise<void> {
    state.underWay += 1
    state.mostUnderWay = Math.max(state.mostUnderWay, state.underWay)
    response.once('close', () => {
      state.underWay -= 1
    })
    let text = ''
    for await (const chunk of request) text += chunk
    const [name = '', generation] = new URLSearchParams(text).get('refresh_token')?.split('.') ?? []
    state.asked.push(name)
    if (!state.firstAskedAt.has(name)) state.firstAskedAt.set(name, Date.now())
    if (state.mood === 'hanging') return
    await new Promise((resolve) => setTimeout(resolve, state.answerMs))
    if (state.mood === 'busy') return json(response, 429, { error: 'slow_down' })
    if (Number(generation) !== (generations.get(name) ?? 0)) {
      state.reused.push(name)
      return json(response, 400, { error: 'invalid_grant' })
    }
    state.underWayAtFirst ??= state.underWay
    const next = Number(generation) + 1
    generations.set(name, next)
    json(response, 200, {
      access_token: `access-of-${name}-${next}`,
      token_type: 'Bearer',
      expires_in: 3_600,
      refresh_token: `${name}.${next}`,
    })
  }

  let port = 0
  const open = () =>
    new Promise<void>((resolve) => {
      server.listen(port, '127.0.0.1', () => {
        port = (server.address() as AddressInfo).port
        state.underWayAtFirst = undefined
        resolve()
      })
    })
  const shut = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  const state: TokenServer = {
    get origin() {
      return `http://127.0.0.1:${port}`
    },
    mood: 'good',
    answerMs: 20,
    asked: [],
    firstAskedAt: new Map(),
    underWayAtFirst: undefined,
    underWay: 0,
    mostUnderWay: 0,
    reused: [],
    open,
    shut,
  }
  await open()
  t.teardown(shut)
  return state
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

/** What its provider file says. @param more other fields, which win */
export function providerOf({ origin }: TokenServer, more: object = {}): object {
  const authorization_server = {
    token_endpoint: `${origin}/token`,
    device_authorization_endpoint: `${origin}/device`,
    client_id: 'c',
  }
  return { credential: 'device_code', authorization_server, upstream: { base_url: `${origin}/v1` }, ...more }
}

/** The same as a line for CONFIG_FILE's `providers`: JSON is YAML. */
export function providerLine(name: string, server: TokenServer, more: object = {}): string {
  return `  ${name}: ${JSON.stringify(providerOf(server, more))}`
}

/** @returns the config's id */
export async function addLogin(
  broker: {
    admin(method: string, path: string, body: unknown): Promise<{ status: number; body: { id: string } }>
  },
  provider: string,
  name: string,
  expiresAt: number,
): Promise<string> {
  const { status, body } = await broker.admin('POST', '/api/models/configs', {
    name,
    provider,
    models: [{ model_id: 'm' }],
    oauth_token: { access_token: `access-of-${name}-0`, refresh_token: `${name}.0`, expires_at: expiresAt },
  })
  if (status !== 201) throw new Error(JSON.stringify(body))
  return body.id
}
