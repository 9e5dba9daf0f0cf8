/**
 * An authorization server that is not ours: the certified `oidc-provider`, with device flow, rotation and
 * client credentials, for what two implementations of one's own would agree on by mistake.
 *
 * It ignores PKCE on the device flow; the sandbox is the strict one there.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import { errors, Provider } from 'oidc-provider'
import type { Test } from 'tap'
import type { KeyPair } from './certificates.ts'
import { submitForms } from './form-browser.ts'

export interface IndependentServer {
  readonly issuer: string
  /** Of the https server that `secure` asked for. */
  readonly securePort: number | undefined
  readonly counts: {
    /** Refresh tokens traded for new ones. */
    rotations: number
    /** Refresh tokens that came a second time; each ended its family. */
    reuses: number
    clientCredentials: number
    /** Of its endpoint (RFC 7009). */
    revocations: number
  }
  /** Goes through its pages as a person does: code, login, consent. */
  approve(verificationUriComplete: string): Promise<void>
  /** The same from an authorization request on. @param cookie of the browser. @returns the page that it ends at */
  logIn(authorizationUrl: string, cookie: string): Promise<string>
  /** Ends every grant, as a person does on the server's account page. */
  revokeGrants(): void
  /** What the server says of an access token (RFC 7662). */
  introspect(accessToken: string): Promise<{ active: boolean; scope?: string; client_id?: string }>
}

export const PUBLIC_CLIENT = 'device-client'
export const CONFIDENTIAL_CLIENT = 'machine-client'
export const CONFIDENTIAL_SECRET = 'machine-secret-0123456789'
/** Sends browsers back to any port of this machine, at the paths of the tests (RFC 8252 §7.3). */
export const BROWSER_CLIENT = 'browser-client'
/** The same as the confidential one, with its secret in the body. */
export const POSTING_CLIENT = 'posting-client'
/** Proves who it is by a signature. */
export const SIGNING_CLIENT = 'signing-client'
export const SIGNING_KEY = generateKeyPairSync('rsa', { modulusLength: 2048 })
export const SCOPE = 'openid model.completion'

const PERSON = { login: 'somebody', password: 'anything' }

interface Options {
  readonly accessTokenSeconds?: number
  /** Of its issuer: `localhost` is another site than the brokers are. */
  readonly host?: 'localhost' | '127.0.0.1'
  /** Https, under a name that the caller leads to `securePort`; the issuer's path is the realm. */
  readonly secure?: { readonly issuer: string; readonly pair: KeyPair }
}

export async function startIndependentServer(
  t: Test,
  { accessTokenSeconds = 60, host = '127.0.0.1', secure }: Options = {},
): Promise<IndependentServer> {
  const http = createServer()
  const inside = `http://${host}:${await listen(t, http)}`
  const issuer = secure?.issuer ?? inside
  const records = new Records()
  const provider = new Provider(issuer, configuration(records, accessTokenSeconds))
  const counts = { rotations: 0, reuses: 0, clientCredentials: 0, revocations: 0 }
  provider.on('grant.success', ({ oidc }) => {
    counts.rotations += oidc.params.grant_type === 'refresh_token' ? 1 : 0
    counts.clientCredentials += oidc.params.grant_type === 'client_credentials' ? 1 : 0
  })
  // It takes a secret in the head or in the body, whatever the client is registered for; others are not so kind.
  provider.use(async (context, next) => {
    await next()
    const isInHead = context.headers.authorization !== undefined
    const isBasic = context.oidc?.client?.clientAuthMethod === 'client_secret_basic'
    if (isInHead !== isBasic) Object.assign(context, { status: 401, body: { error: 'invalid_client' } })
  })
  provider.on('grant.revoked', () => {
    counts.revocations += 1
  })
  provider.on('grant.error', (_, { error_detail }) => {
    counts.reuses += error_detail?.includes('already used') ? 1 : 0
  })
  const answer = provider.callback()
  const { pathname } = new URL(issuer)
  http.on('request', answer)
  const outside =
    secure &&
    createHttps(
      secure.pair,
      (request: IncomingMessage & { originalUrl?: string }, response: ServerResponse) => {
        request.originalUrl = request.url ?? '' // where it finds out what it is mounted at
        request.url = request.originalUrl.replace(pathname, '')
        answer(request, response)
      },
    )
  const securePort = outside && (await listen(t, outside))

  const introspect: IndependentServer['introspect'] = async (token) => {
    const secret = Buffer.from(`${CONFIDENTIAL_CLIENT}:${CONFIDENTIAL_SECRET}`).toString('base64')
    const response = await fetch(`${inside}/token/introspection`, {
      method: 'POST',
      headers: { authorization: `Basic ${secret}` },
      body: new URLSearchParams({ token }),
    })
    return response.json() as ReturnType<IndependentServer['introspect']>
  }
  return {
    issuer,
    securePort,
    counts,
    approve: async (uri) => {
      const page = await submitForms(uri, PERSON)
      if (!page.includes('Sign-in Success')) throw new Error(`not approved: ${page}`)
    },
    logIn: (url, cookie) => submitForms(url, PERSON, cookie),
    revokeGrants: () => records.clear(),
    introspect,
  }
}

/** @returns the port */
async function listen(t: Test, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

function configuration(records: Records, accessTokenSeconds: number): object {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return {
    adapter: (model: string) => records.adapter(model),
    clients: [
      {
        client_id: PUBLIC_CLIENT,
        token_endpoint_auth_method: 'none',
        grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
        redirect_uris: [],
        response_types: [],
      },
      {
        client_id: BROWSER_CLIENT,
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: ['http://127.0.0.1/oauth/callback/p'],
        response_types: ['code'],
      },
      machine({ client_id: CONFIDENTIAL_CLIENT, client_secret: CONFIDENTIAL_SECRET }),
      machine({
        client_id: POSTING_CLIENT,
        client_secret: CONFIDENTIAL_SECRET,
        token_endpoint_auth_method: 'client_secret_post',
      }),
      machine({
        client_id: SIGNING_CLIENT,
        token_endpoint_auth_method: 'private_key_jwt',
        jwks: { keys: [SIGNING_KEY.publicKey.export({ format: 'jwk' })] },
      }),
    ],
    scopes: ['openid', 'offline_access', 'model.completion'],
    features: {
      deviceFlow: { enabled: true },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
    },
    issueRefreshToken: async () => true,
    rotateRefreshToken: true,
    ttl: {
      AccessToken: accessTokenSeconds,
      ClientCredentials: accessTokenSeconds,
      RefreshToken: 86_400,
      DeviceCode: 600,
      Grant: 86_400,
      Session: 600,
      Interaction: 600,
      IdToken: 60,
    },
    findAccount: async (_: unknown, accountId: string) => ({
      accountId,
      claims: async () => ({ sub: accountId }),
    }),
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' }] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
  }
}

function machine(fields: object): object {
  const grant = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] }
  return { ...grant, scope: 'model.completion', ...fields }
}

type RecordFields = { grantId?: string; userCode?: string; uid?: string; consumed?: number }

/** Everything the server remembers, by model and id. */
class Records {
  readonly #rows = new Map<string, RecordFields>()

  clear(): void {
    this.#rows.clear()
  }

  adapter(model: string) {
    const rows = this.#rows
    const prefix = `${model}:`
    const first = async (isIt: (row: RecordFields) => boolean) =>
      [...rows].find(([key, row]) => key.startsWith(prefix) && isIt(row))?.[1]
    const revokeByGrantId = async (grantId: string) => {
      rows.delete(`Grant:${grantId}`)
      for (const [key, row] of rows) if (row.grantId === grantId) rows.delete(key)
    }
    return {
      upsert: async (id: string, row: RecordFields) => void rows.set(prefix + id, row),
      find: async (id: string) => rows.get(prefix + id),
      findByUserCode: (userCode: string) => first((row) => row.userCode === userCode),
      findByUid: (uid: string) => first((row) => row.uid === uid),
      destroy: async (id: string) => void rows.delete(prefix + id),
      revokeByGrantId,
      /**
       * The server reads `consumed` and sets it in two steps, between which a second request passes the check.
       * Here the two are one, so that of two uses at once exactly one succeeds.
       */
      consume: async (id: string) => {
        const row = rows.get(prefix + id)
        if (!row || row.consumed !== undefined) {
          if (row?.grantId) await revokeByGrantId(row.grantId)
          throw new errors.InvalidGrant('already used')
        }
        row.consumed = Math.floor(Date.now() / 1000)
      },
    }
  }
}

/** Its notices about development settings are right, and beside the point here. */
for (const level of ['info', 'warn'] as const) {
  const print = console[level]
  console[level] = (...line: unknown[]) => {
    if (!String(line[0]).startsWith('oidc-provider ')) print(...line)
  }
}
