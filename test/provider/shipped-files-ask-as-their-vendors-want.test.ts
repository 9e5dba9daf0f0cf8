/**
 * Each shipped file whose tokens are asked for: what it sends is, byte for byte, what was written down by hand from its
 * vendor's pages (`golden/NAME.http`: what its inputs and the environment are in a line of JSON, then the requests).
 */
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createRenew } from '../../src/credential/renew.ts'
import { redeemCode, requestAuthorization } from '../../src/oauth/authorization-code.ts'
import { AuthorizationServer } from '../../src/oauth/authorization-server.ts'
import { requestDeviceAuthorization } from '../../src/oauth/device-authorization.ts'
import { requestOf, type StepRequest } from '../../src/oauth/step-request.ts'
import { requestBySteps } from '../../src/oauth/token-request.ts'
import { withInputs } from '../../src/provider/provider.ts'
import { isFetched, isLogin } from '../../src/provider/renewal-class.ts'
import { readConfig } from '../../src/settings/config.ts'
import { credential } from '../credential/fixtures/credential.ts'
import { openWire, type Wire } from './fixtures/wire.ts'

const GOLDEN = new URL('golden/', import.meta.url)
/** Where the clock of the signed ones stands. */
const NOW = 1_800_000_000_000

/** A file that others keep fresh, for the variable that names it. */
function subjectFile(): string {
  const path = join(mkdtempSync(join(tmpdir(), 'golden-')), 'token')
  writeFileSync(path, 'the.subject.token\n')
  return path
}

const PEM = generateKeyPairSync('rsa', { modulusLength: 2048 })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString()
const inString = (text: string) => JSON.stringify(text).slice(1, -1)

/** As Snowflake has people compute it. */
function fingerprint(): string {
  const der = execFileSync('openssl', ['rsa', '-pubout', '-outform', 'DER'], { input: PEM, stdio: 'pipe' })
  return `SHA256:${execFileSync('openssl', ['dgst', '-sha256', '-binary'], { input: der }).toString('base64')}`
}

/** What is signed, and what is new each time. */
function legible(request: string): string {
  const plain = (part: string) => Buffer.from(part, 'base64url').toString()
  return request
    .replace(
      /\b(eyJ[\w-]+)\.(eyJ[\w-]+)\.[\w-]+/g,
      (_, head, payload) => `<${plain(head)}.${plain(payload)}>`,
    )
    .replace(/\b(state|code_challenge|code_verifier)=[\w-]{43}(?![\w-])/g, '$1=<$1>')
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>')
}

function requestText({ method, url, headers, body = '' }: StepRequest): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  return [`${method} ${url}`, ...lines.sort(), '', body].join('\n')
}

const REDIRECT_URI = 'https://broker.example.com/oauth/callback/oidc-code'

/** Where the browser is sent stands between what is asked before and after. */
async function logInByCode(server: AuthorizationServer, wire: Wire): Promise<void> {
  const request = await requestAuthorization(server, REDIRECT_URI)
  if ('failure' in request) throw new Error(request.failure)
  wire.requests.push(`BROWSER ${request.url}`)
  const answer = new URLSearchParams({ code: 'the-code', iss: 'https://login.example.com/realms/staff' })
  const outcome = await redeemCode(server, answer, { ...request, redirectUri: REDIRECT_URI }, () => NOW)
  if (outcome.kind !== 'tokens') throw new Error(outcome.kind)
}

const SUBJECT_FILE = subjectFile()
const env = { SUBJECT_TOKEN_FILE: SUBJECT_FILE, AZURE_FEDERATED_TOKEN_FILE: SUBJECT_FILE }
const { providers } = readConfig({ ...env, DATA_DIR: t.testdir() })

for (const provider of providers.values()) {
  const isFilledLogin = isLogin(provider.kind) && provider.inputs.length > 0
  if (!isFetched(provider.kind) && !provider.signedJwt && !isFilledLogin) continue
  t.test(provider.name, async (t) => {
    const file = new URL(`${provider.name}.http`, GOLDEN)
    t.ok(existsSync(file), 'what it should send is written down')
    const [first = '', ...lines] = readFileSync(file, 'utf8').split('\n')
    const { inputs = {}, answers = [] } = JSON.parse(
      first.replace('<key>', () => inString(inString(PEM))).replace('<pem>', () => inString(PEM)),
    )
    const wire = await openWire(t)
    wire.answers = answers
    const filled = withInputs(provider, new Map(Object.entries<string>(inputs)))
    t.same(filled.lacking, [])
    const server = () => new AuthorizationServer(filled, wire.dispatcher)
    const renew = createRenew(
      server,
      () => NOW,
      () => wire.dispatcher,
    )
    const expected = lines.join('\n').replace('<fingerprint>', fingerprint)
    // Of the machine that it runs on: there is no other way to its service than the real one.
    const [own] = (filled.tokenRequest ?? []).filter(({ isMetadata }) => isMetadata)
    if (own) {
      t.equal(`${requestText(requestOf(own, filled.values))}\n`, expected)
      return
    }
    if (isFilledLogin) {
      if (provider.kind === 'authorization_code') await logInByCode(server(), wire)
      else await requestDeviceAuthorization(server())
      const asking = { provider: filled, dispatcher: wire.dispatcher, clock: () => NOW }
      if (filled.tokenRequest) t.match(await requestBySteps(asking, "the-login's-token"), { kind: 'tokens' })
      t.equal(`${wire.requests.map(legible).join('\n\n')}\n`, expected)
      return
    }
    const renewal = await renew(credential({ provider: filled }))
    t.match(renewal, { kind: 'tokens' })
    const token = renewal.kind === 'tokens' ? renewal.tokens.accessToken : ''
    const shown = filled.signedJwt ? [token] : wire.requests
    t.equal(`${shown.map(legible).join('\n\n')}\n`, expected)
  })
}
