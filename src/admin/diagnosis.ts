/**
 * `doctor`: looks at a config's credential, tries one completion of one token, and names the cause.
 *
 * A refused token is refreshed before it is judged, as a call would do; a refused key is tried where else its vendor
 * may know it. `GET /v1/models` is no health check: some endpoints have no such route.
 */
import type { Clock } from '../base/clock.ts'
import { clockSkew } from '../base/clock-skew.ts'
import { BrokerError } from '../base/errors.ts'
import { withoutQuoted } from '../base/quoted.ts'
import type { Acceptances } from '../credential/acceptances.ts'
import { accessOf, type Credential, isRenewable } from '../credential/credential.ts'
import type { CredentialStore } from '../credential/credential-store.ts'
import type { Credentials } from '../credential/credentials.ts'
import { headerValue } from '../http1/header-list.ts'
import type { Model } from '../model-config/model-configs.ts'
import type { Provider } from '../provider/provider.ts'
import type { UpstreamAccess } from '../upstream/access.ts'
import type { Agents } from '../upstream/agent.ts'
import { CAUSES, type Cause } from './causes.ts'
import type { Check, Diagnosis } from './config-answers.ts'
import { factsOf } from './credential-facts.ts'
import { judged, type UpstreamAnswer, whyRefused } from './judge-answer.ts'
import { checkSession } from './session-check.ts'
import { askSisters, told } from './sisters.ts'
import { clockCheck, signsItself, tokenTrouble } from './token-trouble.ts'
import { complete } from './trial.ts'
import { upstreamModels } from './upstream-models.ts'

export interface DiagnosisParts {
  readonly credentials: Credentials
  readonly credentialStore: CredentialStore
  readonly acceptances: Acceptances
  readonly providers: ReadonlyMap<string, Provider>
  readonly agents: Pick<Agents, 'of'>
  readonly clock: Clock
}

const MAX_SHOWN = 300
/** What is masked becomes shorter; twice as much is shown of nothing. */
const MAX_LOOKED_AT = 2 * MAX_SHOWN

/** Never throws for what it examines: whatever is wrong is the answer. */
export async function diagnose(
  configId: string,
  models: readonly Model[],
  parts: DiagnosisParts,
): Promise<Diagnosis> {
  const checks: Check[] = []
  let provider: Provider | undefined
  try {
    const credential = await parts.credentials.usable(configId)
    provider = credential.provider
    // What went wrong last is in the row; a credential that callers share may be older than that.
    const stored = (await parts.credentialStore.load(configId).catch(() => undefined)) ?? credential
    checks.push(...factsOf(credential, stored.attempt.lastError, parts.clock()))
    if (provider.kind === 'session' && !provider.upstream.baseUrl) {
      const { cause, check } = await checkSession(credential, parts, parts.clock())
      return verdict(cause, provider, null, [...checks, check])
    }
    const named = models[0]?.model_id ?? provider.upstream.models[0]
    const access = accessOf(credential)
    checks.push(said('host', true, access.baseUrl))
    if (named !== undefined) return await tryCompletion({ credential, access, model: named }, parts, checks)
    return await tryListed({ credential, access }, parts, checks)
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    // The row was there a moment ago, so it is its provider that is not.
    if (error.code === 'config_not_found') return verdict('provider_missing', provider, null, checks)
    provider ??= (await parts.credentialStore.load(configId).catch(() => undefined))?.provider
    checks.push(failedCheck(error))
    return noToken(error, provider, checks, parts.clock())
  }
}

/** A token call that brought nothing is looked into; what else went wrong has its cause by name. */
async function noToken(
  error: BrokerError,
  provider: Provider | undefined,
  checks: readonly Check[],
  now: number,
): Promise<Diagnosis> {
  const byName = CAUSE_OF_ERROR[error.code] ?? 'unknown'
  if (!provider || (byName !== 'credential_refused' && byName !== 'refresh_stuck'))
    return verdict(byName, provider, null, checks)
  const { cause = byName, checks: more } = await tokenTrouble(error.detail ?? '', provider, now)
  return verdict(cause, provider, null, [...checks, ...more])
}

const CAUSE_OF_ERROR: Readonly<Record<string, Cause>> = {
  credential_reauth_required: 'login_needed',
  credential_refused: 'credential_refused',
  refresh_unavailable: 'refresh_stuck',
  upstream_not_allowed: 'host_not_allowed',
  upstream_not_configured: 'no_completions',
  decryption_failed: 'cannot_decrypt',
}

function failedCheck(error: BrokerError): Check {
  const name = error.code.startsWith('upstream_')
    ? 'host'
    : error.code === 'refresh_unavailable' || error.code === 'credential_refused'
      ? 'refresh'
      : 'login'
  return said(name, false, error.detail ?? error.english, error.detail ?? error.chinese)
}

interface Subject {
  readonly credential: Credential
  readonly access: UpstreamAccess
  readonly model: string
}

/** Of a completion with a model that nobody asked for: they say that it was the wrong one. */
const ABOUT_THE_MODEL: ReadonlySet<Cause> = new Set(['model_unknown', 'request_refused', 'unknown'])

/** Where no model is named: with the first one that the endpoint lists, which may be none for completions. */
async function tryListed(
  subject: Omit<Subject, 'model'>,
  parts: DiagnosisParts,
  checks: Check[],
): Promise<Diagnosis> {
  const { configId, provider } = subject.credential
  const { models, reason } = await upstreamModels(configId, parts)
  const [model] = models
  if (model === undefined) {
    const detail = reason && said('completion', false, reason.english, reason.chinese)
    return verdict('no_model', provider, null, detail ? [...checks, detail] : checks)
  }
  const found = await tryCompletion({ ...subject, model }, parts, checks)
  if (!ABOUT_THE_MODEL.has(found.code)) return found
  return verdict('no_model', provider, found.upstream_status, found.checks)
}

async function tryCompletion(subject: Subject, parts: DiagnosisParts, checks: Check[]): Promise<Diagnosis> {
  const { credential, model } = subject
  const { provider } = credential
  const ask = (one: Credential) => complete(accessOf(one), model, parts.agents)
  let answer = await ask(credential)
  let fresh: Credential | undefined
  if (judged(answer, provider) === 'token_refused') {
    fresh = await parts.credentials.afterRefusal(credential)
    checks.push(afterRefusal(fresh !== undefined))
    if (fresh) answer = await ask(fresh)
  }
  const found = judged(answer, provider)
  const isAsGoodAsNew = fresh !== undefined || canBeRefreshed(credential)
  const refused = isAsGoodAsNew ? whyRefused(bodyOf(answer), provider) : 'login_needed'
  const named = found === 'token_refused' ? refused : found
  const skew = TIMELY.has(named) && signsItself(provider) ? skewOf(answer, parts.clock()) : undefined
  const cause = skew === undefined ? named : 'clock_skew'
  if (skew !== undefined) checks.push(clockCheck(skew))
  if (cause === 'none') parts.acceptances.note(fresh ?? credential)
  const status = typeof answer === 'string' ? null : answer.status
  const detail = typeof answer === 'string' ? answer : shown(answer, credential)
  checks.push(
    cause === 'none'
      ? said('completion', true, `answered with ${status}`, `响应 ${status}`)
      : said('completion', false, detail),
  )
  if (KEY_TROUBLE.has(cause)) return whoseKey(subject, cause, { parts, status, checks })
  return verdict(cause, provider, status, checks)
}

/** What a signature is refused with that was made too early or too late. */
const TIMELY: ReadonlySet<Cause> = new Set([
  'fresh_token_refused',
  'clock_skew',
  'identity_expired',
  'unknown',
])

function skewOf(answer: UpstreamAnswer | string, now: number): number | undefined {
  return typeof answer === 'string' ? undefined : clockSkew(headerValue(answer.headers, 'date'), now)
}

const KEY_TROUBLE: ReadonlySet<Cause> = new Set(['wrong_key', 'key_refused'])

/** A session whose server has nothing newer is as good as one that nothing renews. */
function canBeRefreshed(credential: Credential): boolean {
  return isRenewable(credential) && credential.provider.kind !== 'session'
}

/** The cause, as far as the sisters do not know better. */
async function whoseKey(
  { credential: { tokens, provider }, access, model }: Subject,
  cause: Cause,
  { parts, status, checks }: { parts: DiagnosisParts; status: number | null; checks: readonly Check[] },
): Promise<Diagnosis> {
  const { providers, agents } = parts
  const sisters = await askSisters({ access, key: tokens.accessToken, model, providers, agents })
  if (sisters.length === 0) return verdict(cause, provider, status, checks)
  const owner = sisters.find(({ takesIt }) => takesIt)?.provider
  const all = [...checks, { name: 'sisters' as const, ok: owner !== undefined, ...told(sisters) }]
  if (!owner) return verdict(cause, provider, status, all)
  return {
    ...verdict('wrong_plan', undefined, status, all),
    advice: `It is a key of ${owner.label}: connect it with provider ${owner.name}`,
    advice_zh: `这是 ${owner.label} 的密钥：请改用提供方 ${owner.name}`,
  }
}

function afterRefusal(isFresh: boolean): Check {
  return isFresh
    ? said('refresh', true, 'refreshed after a refusal', '被拒绝后已刷新')
    : said('refresh', false, 'there is nothing newer after the refusal', '被拒绝后没有更新的令牌')
}

function bodyOf(answer: UpstreamAnswer | string): string {
  return typeof answer === 'string' ? '' : answer.body
}

/** The beginning of an answer that went wrong, without the credential should it be quoted back. */
function shown({ status, body }: UpstreamAnswer, { tokens }: Credential): string {
  const { accessToken, refreshToken } = tokens
  const text = withoutQuoted(body.slice(0, MAX_LOOKED_AT), [accessToken, refreshToken])
  return `${status} ${text.slice(0, MAX_SHOWN)}`
}

/** What a server said, or an address, is in no language of ours. */
function said(name: Check['name'], ok: boolean, detail: string, detail_zh = detail): Check {
  return { name, ok, detail, detail_zh }
}

/** Where a page of the vendor helps. */
const HELPED_BY_VENDOR: ReadonlySet<Cause> = new Set([
  'wrong_key',
  'key_refused',
  'free_quota',
  'arrears',
  'model_denied',
  'not_activated',
  'login_needed',
  'not_extended',
])

function verdict(
  code: Cause,
  provider: Provider | undefined,
  upstream_status: number | null,
  checks: readonly Check[],
): Diagnosis {
  const { next, english, chinese, advice, adviceChinese } = CAUSES[code]
  return {
    ok: code === 'none',
    code,
    cause: english,
    advice,
    cause_zh: chinese,
    advice_zh: adviceChinese,
    next_action: next,
    help_url: (HELPED_BY_VENDOR.has(code) && provider?.helpUrl) || null,
    upstream_status,
    checks,
  }
}
