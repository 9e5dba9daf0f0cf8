/**
 * What servers would answer: as much as the next request is made with, and stand-ins for it.
 */
import type { AwsSigV4Config } from '../../provider/aws-sigv4.ts'
import type { Provider } from '../../provider/provider.ts'
import { sourcesOf } from '../../provider/source.ts'
import type { StepAnswer, TokenStep } from '../../provider/token-request.ts'
import type { Answer, Sent } from './recorder.ts'
import type { StandIns } from './stand-ins.ts'

const END = '2099-01-01T00:00:00Z'

export function answersOf(provider: Provider, standIns: StandIns): (sent: Sent) => Answer {
  const { authorizationServer, tokenRequest = [], awsSigV4 } = provider
  const before = sourcesOf(provider).flatMap((source) =>
    source.from === 'token_request' ? inTurn(source.steps, source.name, standIns) : [],
  )
  const steps = [...before, ...inTurn(tokenRequest, 'access_token', standIns)]
  const tokens = tokenAnswer(standIns)
  return (sent) => {
    if (awsSigV4) return ofAws(sent, standIns)
    const issuer = authorizationServer?.issuer
    if (issuer !== undefined && sent.url.includes('/.well-known/')) return discovery(issuer, standIns)
    const index = steps.findIndex(({ url }) => new URL(sent.url.split('?')[0] ?? '').href === url)
    return steps.splice(index === -1 ? steps.length : index, 1)[0]?.answer ?? tokens
  }
}

/** Of a step that is sent once. */
interface StepAnswered {
  readonly url: string
  readonly answer: Answer
}

/** @param token name of what the last one gives */
function inTurn(steps: readonly TokenStep[], token: string, standIns: StandIns): StepAnswered[] {
  const last = steps.at(-1)
  return steps.map((step) => {
    const name = step === last ? token : `${step.name}.token`
    return { url: new URL(step.url).href, answer: toStep(step, name, standIns) }
  })
}

/** Of any grant, of a device login and of a session. */
function tokenAnswer(standIns: StandIns): Answer {
  const token = standIns.of('access_token')
  const body = { id: 'user', access_token: token, token, token_type: 'Bearer', expires_in: 3_600 }
  const login = {
    device_code: standIns.of('device_code'),
    user_code: 'AAAA',
    verification_uri: 'https://x.invalid',
  }
  return { body: { ...body, ...login } }
}

/** OpenID Connect Discovery: its endpoints are known to nobody who does not ask. */
function discovery(issuer: string, standIns: StandIns): Answer {
  const at = (name: string) => [name, `${issuer.replace(/\/$/, '')}/${standIns.of(name)}`]
  const endpoints = ['token_endpoint', 'device_authorization_endpoint', 'authorization_endpoint'].map(at)
  return { body: { issuer, ...Object.fromEntries(endpoints) } }
}

function toStep({ name, response }: TokenStep, token: string, standIns: StandIns): Answer {
  const kept = Object.entries(response.keep).map(
    ([one, pointer]) => [pointer, standIns.of(`${name}.${one}`)] as const,
  )
  return withToken(response.token, standIns.of(token), kept)
}

type Pairs = readonly (readonly [pointer: string, value: string])[]

function withToken(where: StepAnswer['token'], token: string, kept: Pairs): Answer {
  if (typeof where === 'string') return { body: objectOf([...kept, [where, token]]) }
  return 'header' in where ? { headers: { [where.header]: token }, body: objectOf(kept) } : { body: token }
}

/** RFC 6901, the other way round. */
function objectOf(pairs: Pairs): object {
  const whole: Members = {}
  for (const [pointer, value] of pairs) {
    const parts = pointer.split('/').slice(1)
    put(
      whole,
      parts.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~')),
      value,
    )
  }
  return whole
}

interface Members {
  [name: string]: Members | string
}

function put(into: Members, [name = '', ...names]: readonly string[], value: string): void {
  if (names.length === 0) {
    into[name] = value
    return
  }
  const known = into[name]
  const inner = typeof known === 'object' ? known : {}
  into[name] = inner
  put(inner, names, value)
}

function ofAws({ url }: Sent, standIns: StandIns): Answer {
  const { pathname, hostname } = new URL(url)
  if (pathname.endsWith('/api/token')) return { body: standIns.of('metadata token') }
  if (pathname.endsWith('/security-credentials/')) return { body: standIns.of('role') }
  const keys = {
    AccessKeyId: standIns.of('AccessKeyId'),
    SecretAccessKey: standIns.of('SecretAccessKey'),
    Expiration: END,
  }
  const token = standIns.of('SessionToken')
  if (!hostname.startsWith('sts.')) return { body: { ...keys, Token: token } }
  const elements = Object.entries({ ...keys, SessionToken: token }).map(
    ([name, text]) => `<${name}>${text}</${name}>`,
  )
  return { body: elements.join('') }
}

/** What would be read from a file that AWS's keys, or a token for them, lie in. */
export function awsFile(
  standIns: StandIns,
  { environment }: AwsSigV4Config,
): (path: string) => Promise<string> {
  const profile = environment.get('AWS_PROFILE') ?? 'default'
  const isToken = (path: string) =>
    ['AWS_WEB_IDENTITY_TOKEN_FILE', 'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'].some(
      (name) => environment.get(name) === path,
    )
  return async (path) => {
    if (isToken(path)) return standIns.of('token of that file')
    const [id, secret] = [standIns.of('aws_access_key_id'), standIns.of('aws_secret_access_key')]
    return `[${profile}]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`
  }
}
