/**
 * An authorization server of the tests' own for logins by code that takes nothing but exactly what RFC 6749, RFC 7636 and
 * RFC 9207 say, with a model endpoint beside it that takes nothing but its tokens.
 *
 * It refuses a code that was used (and ends what that brought), a redirect URI other than the one of the authorization
 * request or not registered, a verifier that is missing or wrong, a refresh token a second time, and any parameter that it
 * does not know or that stands twice.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { watch } from './secret-search.ts'
import { type Said, streamWords } from './strict-token-endpoint.ts'

export interface StrictCodeServer {
  readonly origin: string
  /** Redirect URIs that it sends browsers to. */
  readonly registered: Set<string>
  /** Changes what a browser is sent back with. */
  answer: (params: URLSearchParams) => void
  /** Instead of what its token endpoint would say; `hang`: nothing, `cut`: the connection ends. */
  fault: Said | 'hang' | 'cut' | undefined
  /** Token requests, refused ones too. */
  readonly asked: URLSearchParams[]
  /** Why it refused, in words. */
  readonly complaints: string[]
  /** Tokens that were revoked (RFC 7009). */
  readonly revoked: string[]
  /** Access tokens that its model endpoint takes. */
  readonly good: Set<string>
}

export const CODE_CLIENT = 'code-client'

interface Grant {
  readonly redirectUri: string
  readonly challenge: string
  isUsed: boolean
}

const AUTHORIZATION = ['response_type', 'client_id', 'redirect_uri', 'scope', 'state', 'prompt']
const PKCE = ['code_challenge', 'code_challenge_method']
const TOKEN_PARAMS: Readonly<Record<string, readonly string[]>> = {
  authorization_code: ['grant_type', 'client_id', 'code', 'redirect_uri', 'code_verifier'],
  refresh_token: ['grant_type', 'client_id', 'refresh_token'],
}

/** @param t whoever ends it */
export async function startStrictCodeServer(t: {
  teardown(work: () => void): unknown
}): Promise<StrictCodeServer> {
  const codes = new Map<string, Grant>()
  const refreshTokens = new Set<string>()
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const url = new URL(request.url ?? '', state.origin)
    if (url.pathname.startsWith('/v1/')) return complete(response, request.headers.authorization ?? '', body)
    if (url.pathname === '/.well-known/openid-configuration') return say(response, { body: discovery() })
    if (url.pathname === '/authorize') return authorize(response, url.searchParams)
    const form = new URLSearchParams(body)
    if (url.pathname === '/revoke') {
      state.revoked.push(form.get('token') ?? '')
      return say(response, { body: '' })
    }
    state.asked.push(form)
    if (state.fault === 'hang') return
    if (state.fault === 'cut') return void request.socket.destroy()
    const complaint = complaintAbout(form)
    if (complaint !== undefined) {
      state.complaints.push(complaint)
      return say(response, { status: 400, body: { error: 'invalid_grant', error_description: complaint } })
    }
    if (state.fault) return say(response, state.fault)
    say(response, { body: tokens() })
  })

  const discovery = () => ({
    issuer: state.origin,
    authorization_endpoint: `${state.origin}/authorize`,
    token_endpoint: `${state.origin}/token`,
    revocation_endpoint: `${state.origin}/revoke`,
    authorization_response_iss_parameter_supported: true,
  })

  function authorize(response: ServerResponse, params: URLSearchParams): void {
    const redirectUri = params.get('redirect_uri') ?? ''
    const twice = [...params.keys()].find((name) => params.getAll(name).length > 1)
    const unknown = [...params.keys()].find((name) => ![...AUTHORIZATION, ...PKCE].includes(name))
    const isGood =
      params.get('response_type') === 'code' &&
      params.get('client_id') === CODE_CLIENT &&
      state.registered.has(redirectUri) &&
      /^[\w-]{43}$/.test(params.get('state') ?? '') &&
      /^[\w-]{43}$/.test(params.get('code_challenge') ?? '') &&
      params.get('code_challenge_method') === 'S256'
    if (twice || unknown || !isGood) {
      state.complaints.push(`authorization request: ${twice ?? unknown ?? params}`)
      say(response, { status: 400, body: 'not such a request' })
      return
    }
    const code = `code-${randomBytes(24).toString('base64url')}`
    watch('authorization code', code)
    codes.set(code, { redirectUri, challenge: params.get('code_challenge') ?? '', isUsed: false })
    const back = new URL(redirectUri)
    back.searchParams.set('code', code)
    back.searchParams.set('state', params.get('state') ?? '')
    back.searchParams.set('iss', state.origin)
    state.answer(back.searchParams)
    response.writeHead(302, { location: back.href }).end()
  }

  function complaintAbout(form: URLSearchParams): string | undefined {
    const known = TOKEN_PARAMS[form.get('grant_type') ?? '']
    if (!known) return `grant ${form.get('grant_type')}`
    if ([...form.keys()].toSorted().join() !== known.toSorted().join())
      return `parameters ${[...form.keys()]}`
    if (form.get('client_id') !== CODE_CLIENT) return 'another client'
    if (form.has('refresh_token'))
      return refreshTokens.delete(form.get('refresh_token') ?? '') ? undefined : 'no such refresh token'
    const grant = codes.get(form.get('code') ?? '')
    if (!grant) return 'no such code'
    if (grant.isUsed) {
      state.good.clear()
      return 'the code was used'
    }
    grant.isUsed = true
    if (form.get('redirect_uri') !== grant.redirectUri) return 'another redirect_uri'
    const verifier = form.get('code_verifier') ?? ''
    const challenge = createHash('sha256').update(verifier).digest('base64url')
    return challenge === grant.challenge ? undefined : 'another verifier'
  }

  function tokens(): object {
    const [access_token, refresh_token] = ['access', 'refresh'].map(
      (kind) => `${kind}-token-${randomBytes(24).toString('base64url')}`,
    ) as [string, string]
    state.good.add(access_token)
    refreshTokens.add(refresh_token)
    return { access_token, refresh_token, token_type: 'Bearer', expires_in: 3_600, scope: 'models' }
  }

  function complete(response: ServerResponse, authorization: string, body: string): void {
    if (!state.good.has(authorization.replace('Bearer ', '')))
      say(response, { status: 401, body: { error: { message: 'who?', code: 'invalid_token' } } })
    else if (JSON.parse(body).stream) streamWords(response)
    else say(response, { body: { choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' } }] } })
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const state: StrictCodeServer = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    registered: new Set(),
    answer: () => {},
    fault: undefined,
    asked: [],
    complaints: [],
    revoked: [],
    good: new Set(),
  }
  return state
}

function say(response: ServerResponse, { status = 200, headers = {}, body = '' }: Said): void {
  const isRaw = typeof body === 'string' || Buffer.isBuffer(body)
  response.writeHead(status, { ...(!isRaw && { 'content-type': 'application/json' }), ...headers })
  response.end(isRaw ? body : JSON.stringify(body))
}
