/**
 * A token endpoint of the tests' own that takes nothing but exactly what it expects, with a model endpoint beside it that
 * takes nothing but its tokens.
 *
 * It refuses what careless clients send and lax servers take: a parameter that stands twice or that it does not know, two
 * ways of client authentication at once, an Authorization header where none is due, a form where JSON is due.
 */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** The one value, all of a list in its order, or what is wrong with it. */
type Rule = string | readonly string[] | ((value: string) => string | undefined)

export interface Expected {
  readonly method?: string
  /** Path and query. */
  readonly path?: string
  readonly body?: 'form' | 'json' | 'none'
  /** Of the form or of the JSON object, and no others. */
  readonly parameters?: Readonly<Record<string, Rule>>
  /** The whole header; by default there must be none. */
  readonly authorization?: Rule
  readonly headers?: Readonly<Record<string, Rule>>
  /** What is wrong with the whole of it. */
  readonly whole?: (asked: Asked) => string | undefined
}

export interface Said {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** An object is sent as JSON. */
  readonly body?: object | string | Buffer
}

export interface StrictEndpoint {
  readonly origin: string
  /** Where there are several, each at its own path; the last gives the token. */
  expected: Expected | readonly Expected[]
  /** Of its access tokens, in seconds. */
  lifetimeSeconds: number
  answerMs: number
  /** Instead of a token; undefined: as it should be. `hang`: never. */
  fault: Said | 'hang' | undefined
  /** How a token is handed out. */
  answer: (token: string, lifetimeSeconds: number) => Said
  /** Whether its model endpoint takes a token; by default those that it gave. */
  knows: (token: string) => boolean
  /** Requests for a token, refused ones too. */
  asked: number
  /** Tokens that it gave, oldest first. */
  readonly given: string[]
  /** What it was sent last. */
  last: { readonly headers: IncomingHttpHeaders; readonly url: string; readonly body: string } | undefined
  /** Why it refused, in words. */
  readonly complaints: string[]
  /** From now on its model endpoint takes none of these. */
  revoke(): void
}

/** What its model endpoint streams. */
export const STREAMED = ['Hello', ' from', ' 模型']

/** A completion as OpenAI streams it. */
export function streamWords(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const content of STREAMED) {
    const choices = [{ index: 0, delta: { content }, finish_reason: null }]
    response.write(`data: ${JSON.stringify({ object: 'chat.completion.chunk', choices })}\n\n`)
  }
  response.end('data: [DONE]\n\n')
}

/** @param t whoever ends it */
export async function startStrictEndpoint(
  t: { teardown(work: () => void): unknown },
  expected: StrictEndpoint['expected'],
): Promise<StrictEndpoint> {
  let revoked = 0
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const { headers, url = '', method = '' } = request
    if (url.startsWith('/v1/')) return complete(response, headers.authorization ?? '')
    state.asked += 1
    state.last = { headers, url, body }
    if (state.fault === 'hang') return
    await new Promise((resolve) => setTimeout(resolve, state.answerMs))
    if (state.fault) return say(response, state.fault)
    const all = [state.expected].flat() as readonly Expected[]
    const wanted = all.find(({ path }) => path === url) ?? all[0] ?? {}
    const complaint = complaintOf({ method, url, headers, body }, wanted)
    if (complaint !== undefined) {
      state.complaints.push(complaint)
      return say(response, { status: 400, body: { error: 'invalid_request', error_description: complaint } })
    }
    if (wanted !== all.at(-1)) return say(response, { body: { token: 'first-step', project: 'p-1' } })
    const token = `access-token-${state.given.length + 1}-of-${Math.random().toString(36).slice(2)}`
    state.given.push(token)
    say(response, state.answer(token, state.lifetimeSeconds))
  })

  function complete(response: ServerResponse, authorization: string): void {
    if (!state.knows(authorization.replace('Bearer ', ''))) {
      say(response, { status: 401, body: { error: { message: 'who?', code: 'invalid_token' } } })
      return
    }
    streamWords(response)
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const state: StrictEndpoint = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    expected,
    lifetimeSeconds: 3_600,
    answerMs: 0,
    fault: undefined,
    answer: (access_token, expires_in) => ({ body: { access_token, token_type: 'Bearer', expires_in } }),
    knows: (token) => state.given.slice(revoked).includes(token),
    asked: 0,
    given: [],
    last: undefined,
    complaints: [],
    revoke() {
      revoked = state.given.length
    },
  }
  return state
}

function say(response: ServerResponse, { status = 200, headers = {}, body = '' }: Said): void {
  const isRaw = typeof body === 'string' || Buffer.isBuffer(body)
  response.writeHead(status, { ...(!isRaw && { 'content-type': 'application/json' }), ...headers })
  response.end(isRaw ? body : JSON.stringify(body))
}

interface Asked {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

function complaintOf({ method, url, headers, body }: Asked, expected: Expected): string | undefined {
  if (method !== (expected.method ?? 'POST')) return `method ${method}`
  if (url !== (expected.path ?? '/token')) return `path ${url}`
  const about = expected.whole?.({ method, url, headers, body })
  if (about) return about
  const sent = parametersOf(body, headers['content-type'] ?? '', expected.body ?? 'form')
  if (typeof sent === 'string') return sent
  if (headers.authorization !== undefined && (sent.has('client_secret') || sent.has('client_assertion'))) {
    return 'two ways of client authentication'
  }
  const { authorization } = headers
  const wrong = complaintAbout(
    'authorization',
    authorization === undefined ? [] : [authorization],
    expected.authorization,
  )
  if (wrong) return wrong
  for (const [name, rule] of Object.entries(expected.headers ?? {})) {
    const complaint = complaintAbout(name, [headers[name] ?? []].flat(), rule)
    if (complaint) return complaint
  }
  const rules = expected.parameters ?? {}
  for (const name of new Set([...sent.keys(), ...Object.keys(rules)])) {
    const complaint = complaintAbout(name, sent.get(name) ?? [], rules[name])
    if (complaint) return complaint
  }
  return undefined
}

function complaintAbout(name: string, values: readonly string[], rule: Rule | undefined): string | undefined {
  if (rule === undefined) return values.length === 0 ? undefined : `${name} is not expected`
  const wanted = typeof rule === 'object' ? rule : undefined
  if (values.length !== (wanted?.length ?? 1)) return `${name} stands ${values.length} times`
  if (typeof rule === 'function') return rule(values[0] ?? '') && `${name}: ${rule(values[0] ?? '')}`
  const isWrong = values.some((value, index) => value !== (wanted ? wanted[index] : rule))
  return isWrong ? `${name} is ${JSON.stringify(values)}` : undefined
}

/** All values of each, or what is wrong with them all. */
function parametersOf(
  body: string,
  contentType: string,
  due: 'form' | 'json' | 'none',
): Map<string, string[]> | string {
  if (due === 'none') return body === '' ? new Map() : 'a body where none is due'
  const type = contentType.split(';')[0]
  const wanted = due === 'json' ? 'application/json' : 'application/x-www-form-urlencoded'
  if (type !== wanted) return `content type ${contentType}`
  if (due === 'json') {
    const members = Object.entries(JSON.parse(body) as Record<string, unknown>)
    return new Map(members.map(([name, value]) => [name, [value].flat().map(String)]))
  }
  const form = new URLSearchParams(body)
  return new Map([...form.keys()].map((name) => [name, form.getAll(name)]))
}
