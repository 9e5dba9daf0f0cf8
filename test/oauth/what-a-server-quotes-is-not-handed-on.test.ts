/** Whatever is asked of a server, and whatever it was sent with: what it quotes of that is shown to nobody. */
import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import type { AuthorizationServer } from '../../src/oauth/authorization-server.ts'
import { requestForClient } from '../../src/oauth/client-grants.ts'
import { requestDeviceAuthorization } from '../../src/oauth/device-authorization.ts'
import { pollDeviceCode } from '../../src/oauth/device-code-grant.ts'
import { refreshToken } from '../../src/oauth/refresh-token-grant.ts'
import { revokeToken } from '../../src/oauth/revocation.ts'
import { authorizationServerAt, startScriptedServer } from './fixtures/scripted-server.ts'

const TOKEN = 'only/lower+case letters of a token'
const NOW = () => 1_700_000_000_000

const ASKED: Record<string, (server: AuthorizationServer) => Promise<unknown>> = {
  'a refresh': (server) => refreshToken(server, TOKEN, NOW),
  'a poll': (server) => pollDeviceCode(server, TOKEN, 'a code verifier, in words alone', NOW),
  'a device code': (server) => requestDeviceAuthorization(server),
  'a token for the client itself': (server) => requestForClient('client_credentials', server, NOW),
  'a revocation': (server) => revokeToken(server, TOKEN),
}

const CLIENTS: Record<string, object> = {
  'a public client': {},
  client_secret_basic: { client_secret: 'the secret/of our+client' },
  client_secret_post: {
    client_secret: 'the secret/of our+client',
    client_authentication: 'client_secret_post',
  },
  private_key_jwt: {
    private_key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
      type: 'pkcs8',
      format: 'pem',
    }),
    client_authentication: 'private_key_jwt',
    algorithm: 'ES256',
  },
}

/** How much of it a server says, and where. */
const QUOTES: Record<string, (secret: string) => object> = {
  'in its description': (secret) => ({ error: 'invalid_request', error_description: `unknown: ${secret}` }),
  'in a code of its own': (secret) => ({ error: `odd ${secret}` }),
  'in an object': (secret) => ({ error: { code: 'odd', message: `not ${secret}` } }),
  'in a message': (secret) => ({ error: 'server_error', message: secret }),
  'in part': (secret) => ({ error: 'odd', error_description: `${secret.slice(0, 20)}...` }),
}
const FORMS: Record<string, (secret: string) => string> = {
  plain: (secret) => secret,
  percent: encodeURIComponent,
  base64: (secret) => Buffer.from(secret).toString('base64'),
}
const PUBLIC = new Set(['grant_type', 'client_id', 'client_assertion_type', 'token_type_hint'])

for (const [asked, ask] of Object.entries(ASKED)) {
  t.test(asked, async (t) => {
    const http = await startScriptedServer(t)
    const more = { revocation_endpoint: `${http.origin}/revoke` }
    for (const [name, client] of Object.entries(CLIENTS)) {
      const server = authorizationServerAt(http.origin, [], 10_000, { ...more, ...client })
      for (const [where, quote] of Object.entries(QUOTES)) {
        for (const [form, write] of Object.entries(FORMS)) {
          let secrets: string[] = []
          const body = (sent: URLSearchParams, authorization: string) => {
            secrets = [...sent].flatMap(([field, value]) =>
              PUBLIC.has(field) || field.startsWith('code_challenge') ? [] : [value],
            )
            const [, basic] = authorization.split(' ')
            if (basic !== undefined) {
              const pair = Buffer.from(basic, 'base64').toString()
              secrets.push(basic, decodeURIComponent(pair.slice(pair.indexOf(':') + 1).replaceAll('+', ' ')))
            }
            return quote(secrets.map(write).join(' and '))
          }
          http.script({ status: 400, body })
          const shown = JSON.stringify(await ask(server))
          for (const secret of secrets) {
            const written = where === 'in part' ? write(secret).slice(0, 20) : write(secret)
            for (let at = 0; at + 14 <= Math.min(written.length, 200); at += 1)
              if (shown.includes(written.slice(at, at + 14)))
                t.fail(`${name} ${where} ${form}: ${written.slice(at, at + 14)} is left in ${shown}`)
          }
        }
      }
      t.pass(name)
    }
  })
}
