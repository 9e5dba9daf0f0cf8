/**
 * What servers say when they refuse who is asking: the words that name a cause. Of Entra ID its page of error codes, of
 * AWS the error codes of STS and of Bedrock, of Google its token service's and IAM's answers.
 */
import type { Cause } from './causes.ts'

/** The first that fits counts. */
const WORDS: readonly (readonly [words: RegExp, cause: Cause])[] = [
  [/AADSTS7000222|\bsecret\b[^.]{0,60}\bexpired|\bexpired\b[^.]{0,60}\bsecret/i, 'secret_expired'],
  [/RequestTimeTooSkewed|Signature (?:expired|not yet current)|reasonable timeframe/i, 'clock_skew'],
  [
    /AADSTS(?:700024|50012|500133)|ExpiredTokenException|stale to sign-in|token (?:has |is )?(?:expired|too old)/i,
    'identity_expired',
  ],
  [/AADSTS700212|AADSTS50027\d?|invalid_target|audience/i, 'wrong_audience'],
  [
    /AADSTS70021\b|AADSTS70021[13]|InvalidIdentityToken|IDPRejectedClaim|federated identity/i,
    'identity_unknown',
  ],
  [
    /is not authorized to perform|not authorized to perform|AccessDenied|PERMISSION_DENIED|Permission '[^']+' denied/i,
    'not_permitted',
  ],
  [
    /PermissionDenied|lacks the required data action|AADSTS(?:65001|50105)|unauthorized_client/i,
    'not_permitted',
  ],
]

/** Undefined: they name none. */
export function causeIn(words: string): Cause | undefined {
  return WORDS.find(([known]) => known.test(words))?.[1]
}

/** What a model endpoint can mean by them: it knows the token, and nothing of what that was asked for with. */
const OF_CALLS: ReadonlySet<Cause> = new Set(['wrong_audience', 'not_permitted', 'clock_skew'])

/** The same of a call's answer. */
export function causeInAnswer(words: string): Cause | undefined {
  const cause = causeIn(words)
  return cause !== undefined && OF_CALLS.has(cause) ? cause : undefined
}
