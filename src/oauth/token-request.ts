/**
 * Tokens by a vendor's own requests.
 */
import type { Value } from '../provider/placeholders.ts'
import { LOGIN, SUBJECT } from '../provider/token-request.ts'
import type { Renewal } from './refresh-token-grant.ts'
import { judgeShared } from './shared-renewal.ts'
import { SourceTrouble } from './simple-sources.ts'
import { readSource } from './sources.ts'
import { asValue } from './step-request.ts'
import { type Asking, askSteps } from './steps.ts'

/** @param login its access token, where it is a login's that is traded */
export async function requestBySteps(asking: Asking, login?: string): Promise<Renewal> {
  const { tokenRequest = [], subject, errors } = asking.provider
  const before = new Map<string, Value>()
  if (login !== undefined) before.set(LOGIN, asValue(login, { token: login }))
  try {
    if (subject) before.set(SUBJECT, asValue(await readSource(subject.token, asking)))
  } catch (error) {
    if (!(error instanceof SourceTrouble)) throw error
    return judgeShared(error.answer, { refused: errors.refused, tokens: () => undefined })
  }
  return askSteps(tokenRequest, asking, before)
}
