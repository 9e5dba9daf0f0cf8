/**
 * What an endpoint's answer to a completion tells of the credential it was asked with.
 */
import { headerValue } from '../http1/header-list.ts'
import type { Provider } from '../provider/provider.ts'
import { isLogin } from '../provider/renewal-class.ts'
import type { Head } from '../upstream/call.ts'
import { errorCodes, isInArrears, isOutOfQuota } from '../upstream/error-answer.ts'
import { saysExpired } from '../upstream/refusal.ts'
import type { Cause } from './causes.ts'
import { causeInAnswer } from './refusal-words.ts'

export interface UpstreamAnswer extends Head {
  readonly body: string
}

/** What a refused token means is told from a second try with a fresh one; see `diagnosis.ts`. */
export type Verdict = Cause | 'token_refused'

/** What a code tells whatever the status; those of Model Studio are in its page of error codes. */
const OF_CODE: ReadonlyMap<string, Cause> = new Map([
  ['AllocationQuota.FreeTierOnly', 'free_quota'],
  ['AccessDenied.Unpurchased', 'not_activated'],
  ['CommodityNotPurchased', 'not_activated'],
  ['Model.AccessDenied', 'model_denied'],
  ['Workspace.AccessDenied', 'model_denied'],
  ['Endpoint.AccessDenied', 'model_denied'],
  ['App.AccessDenied', 'model_denied'],
  ['ModelNotFound', 'model_unknown'],
  ['model_not_found', 'model_unknown'],
  ['model_not_supported', 'model_unknown'],
  ['Throttling.RateQuota', 'rate_limited'],
  ['Throttling.BurstRate', 'rate_limited'],
])

/** The message of chat.qwen.ai's web backend, which takes no token of its own model endpoint. */
const OF_WEB_BACKEND = /your session has expired, or the token is no longer valid/i
const ARREARS = /make sure your account is in good standing|credit balance is too low|insufficient balance/i
const QUOTA = /allocated quota exceeded|free (?:tier of the model|quota) has been exhausted/i
const UNKNOWN_KEY =
  /incorrect api key|invalid (?:x-)?api[- ]?key|api key not valid|invalid access token or token expired/i
/** Most say 401; Model Studio says 403 of another plan's key, Gemini and xAI say 400. */
const REFUSED: ReadonlySet<number> = new Set([400, 401, 403])
const KEY_CODES = ['InvalidApiKey', 'invalid_api_key', 'API_KEY_INVALID']

/** Judges a completion's answer, or why there is none. */
export function judged(answer: UpstreamAnswer | string, provider: Provider): Verdict {
  return typeof answer === 'string' ? 'unreachable' : judgeAnswer(answer, provider)
}

function judgeAnswer(answer: UpstreamAnswer, provider: Provider): Verdict {
  const { status, body } = answer
  if (provider.kind !== 'api_key' && saysExpired(answer, body, provider.errors.expired))
    return 'token_refused'
  if (status === 200) return isJson(answer) ? 'none' : 'gateway_in_front'
  if (!isJson(answer)) return 'gateway_in_front'
  const codes = errorCodes(body)
  for (const code of codes) {
    const cause = OF_CODE.get(code)
    if (cause) return cause
  }
  if (isInArrears(body) || ARREARS.test(body)) return 'arrears'
  if (isOutOfQuota(body, provider) || QUOTA.test(body)) return 'quota'
  if (status === 401 && provider.kind !== 'api_key') return 'token_refused'
  const isKeyUnknown = KEY_CODES.some((code) => codes.has(code)) || UNKNOWN_KEY.test(body)
  if (isKeyUnknown && REFUSED.has(status)) return provider.kind === 'api_key' ? 'wrong_key' : 'wrong_host'
  if (status === 401) return OF_WEB_BACKEND.test(body) ? 'wrong_host' : 'key_refused'
  return ofStatus(status, body)
}

function ofStatus(status: number, body: string): Cause {
  if (status === 402) return 'arrears'
  if (status === 404 || /model not exist/i.test(body)) return 'model_unknown'
  if (status === 400) return 'request_refused'
  if (status === 403) return causeInAnswer(body) ?? 'unknown'
  if (status === 429) return 'rate_limited'
  return status >= 500 ? 'gateway_in_front' : 'unknown'
}

/** Why a token is refused although it is as fresh as can be. */
export function whyRefused(body: string, { kind }: Provider): Cause {
  if (OF_WEB_BACKEND.test(body) || /incorrect api key/i.test(body)) return 'wrong_host'
  const named = UNKNOWN_KEY.test(body) ? undefined : causeInAnswer(body)
  return named ?? (isLogin(kind) ? 'not_entitled' : 'fresh_token_refused')
}

/** A page of a firewall or a proxy is HTML at any status. */
function isJson({ headers, body }: UpstreamAnswer): boolean {
  return (headerValue(headers, 'content-type') ?? '').includes('json') && /^\s*[{[]/.test(body)
}
