/**
 * `doctor`: looks at a config's credential, tries one completion of one token, and names the cause.
 *
 * `GET /v1/models` is no health check: some endpoints have no such route.
 */
import { type Dispatcher, request } from 'undici'
import { type Clock, SECOND } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { type Credential, isRenewable, isUsable, resourceUrlOf } from '../credential/credential.ts'
import type { Credentials } from '../credential/credentials.ts'
import type { Model } from '../model-config/model-configs.ts'
import { readSessionToken } from '../oauth/session-token.ts'
import { requestHeaders } from '../upstream/headers.ts'
import { upstreamTarget } from '../upstream/resource-url.ts'
import { CAUSES, type Cause, judgeAnswer, type UpstreamAnswer } from './causes.ts'

export interface DiagnosisParts {
  readonly credentials: Credentials
  readonly dispatcher: Dispatcher
  readonly clock: Clock
}

export interface Check {
  readonly name: 'login' | 'expiry' | 'refresh' | 'host' | 'completion'
  readonly ok: boolean
  readonly detail: string
}

export interface Diagnosis {
  readonly ok: boolean
  /** Stable, for programs. */
  readonly code: Cause
  readonly cause: string
  readonly advice: string
  readonly cause_zh: string
  readonly advice_zh: string
  readonly upstream_status: number | null
  readonly checks: readonly Check[]
}

const TIMEOUT_MS = 30 * SECOND
const MAX_SHOWN = 300

/** Never throws for what it examines: whatever is wrong is the answer. */
export async function diagnose(
  configId: string,
  models: readonly Model[],
  parts: DiagnosisParts,
): Promise<Diagnosis> {
  const checks: Check[] = []
  try {
    const credential = await parts.credentials.usable(configId)
    checks.push(...factsOf(credential, parts.clock()))
    const model = models[0]?.model_id ?? credential.provider.upstream.models[0]
    const target = upstreamTarget(credential.provider, resourceUrlOf(credential), credential.baseUrl)
    checks.push({ name: 'host', ok: true, detail: target.origin + target.basePath })
    if (model === undefined) return verdict('no_model', null, checks)
    return await tryCompletion(credential, model, parts, checks)
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    // The row was there a moment ago, so it is its provider that is not.
    if (error.code === 'config_not_found') return verdict('provider_missing', null, checks)
    return verdict(CAUSE_OF_ERROR[error.code] ?? 'unknown', null, [...checks, failedCheck(error)])
  }
}

const CAUSE_OF_ERROR: Readonly<Record<string, Cause>> = {
  credential_reauth_required: 'login_needed',
  refresh_unavailable: 'refresh_stuck',
  upstream_not_allowed: 'host_not_allowed',
  upstream_not_configured: 'no_completions',
}

function failedCheck(error: BrokerError): Check {
  const name = error.code.startsWith('upstream_')
    ? 'host'
    : error.code === 'refresh_unavailable'
      ? 'refresh'
      : 'login'
  return { name, ok: false, detail: error.detail ?? error.english }
}

async function tryCompletion(
  credential: Credential,
  model: string,
  parts: DiagnosisParts,
  checks: Check[],
): Promise<Diagnosis> {
  let answer = await complete(credential, model, parts.dispatcher)
  let cause = typeof answer === 'string' ? 'unreachable' : judgeAnswer(answer, credential.provider)
  if (cause === 'token_refused') {
    const fresh = await parts.credentials.afterRefusal(credential)
    checks.push({
      name: 'refresh',
      ok: fresh !== undefined,
      detail: fresh ? 'refreshed after a refusal' : 'not possible',
    })
    if (fresh) answer = await complete(fresh, model, parts.dispatcher)
    const second =
      fresh && typeof answer !== 'string' ? judgeAnswer(answer, credential.provider) : 'token_refused'
    cause = second === 'token_refused' ? 'not_entitled' : second
  }
  const status = typeof answer === 'string' ? null : answer.status
  const detail = typeof answer === 'string' ? answer : shown(answer, credential, cause)
  checks.push({ name: 'completion', ok: cause === 'none', detail })
  return verdict(cause, status, checks)
}

/** The answer, or why there is none. */
async function complete(
  credential: Credential,
  model: string,
  dispatcher: Dispatcher,
): Promise<UpstreamAnswer | string> {
  const { provider } = credential
  const target = upstreamTarget(provider, resourceUrlOf(credential), credential.baseUrl)
  try {
    const answer = await request(`${target.origin}${target.basePath}/chat/completions`, {
      method: 'POST',
      dispatcher,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: requestHeaders(
        { 'content-type': 'application/json' },
        provider.upstream.headers,
        credential.accessToken,
      ),
      body: JSON.stringify({ model, max_tokens: 1, messages: [{ role: 'user', content: 'ping' }] }),
    })
    const contentType = String(answer.headers['content-type'] ?? '')
    return { status: answer.statusCode, contentType, body: await answer.body.text() }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? (error as Error).name
  }
}

/** What can be told without asking anybody. */
function factsOf(credential: Credential, now: number): Check[] {
  const { expiresAt, lastError } = credential
  const kind = readSessionToken(credential.accessToken) ? 'a JWT' : 'opaque'
  const expiry = expiresAt === undefined ? 'no known end' : `ends at ${new Date(expiresAt).toISOString()}`
  const checks: Check[] = [
    {
      name: 'login',
      ok: true,
      detail: `${credential.provider.kind}, ${kind}, ${credential.accessToken.length} characters`,
    },
    { name: 'expiry', ok: isUsable(credential, now), detail: expiry },
  ]
  if (credential.provider.kind !== 'api_key') {
    const detail = lastError ?? (isRenewable(credential) ? 'can be renewed' : 'nothing to renew it with')
    checks.push({ name: 'refresh', ok: isRenewable(credential) && lastError === undefined, detail })
  }
  return checks
}

/** The beginning of an answer that went wrong, without the credential should it be quoted back. */
function shown({ status, body }: UpstreamAnswer, credential: Credential, cause: Cause): string {
  if (cause === 'none') return `answered with ${status}`
  return `${status} ${body.replaceAll(credential.accessToken, '…').slice(0, MAX_SHOWN)}`
}

function verdict(code: Cause, upstream_status: number | null, checks: readonly Check[]): Diagnosis {
  const { english, chinese, advice, adviceChinese } = CAUSES[code]
  const ok = code === 'none'
  return {
    ok,
    code,
    cause: english,
    advice,
    cause_zh: chinese,
    advice_zh: adviceChinese,
    upstream_status,
    checks,
  }
}
