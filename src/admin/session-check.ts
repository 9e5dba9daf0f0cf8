/**
 * Whether a session lives whose server serves no completions: it is asked to extend it, which is how it is kept alive
 * anyway. What it answers with is stored like any renewal.
 */
import { DAY } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { Acceptances } from '../credential/acceptances.ts'
import { type Credential, isDue } from '../credential/credential.ts'
import type { Credentials } from '../credential/credentials.ts'
import type { Cause } from './causes.ts'
import type { Check } from './config-answers.ts'

interface SessionParts {
  readonly credentials: Pick<Credentials, 'afterRefusal'>
  /** Told of a server that knows the session. */
  readonly acceptances: Pick<Acceptances, 'note'>
}

/** @throws BrokerError credential_reauth_required: it is over */
export async function checkSession(
  credential: Credential,
  { credentials, acceptances }: SessionParts,
  now: number,
): Promise<{ cause: Cause; check: Check }> {
  const name = 'refresh'
  try {
    const newer = await credentials.afterRefusal(credential)
    acceptances.note(newer ?? credential)
    if (newer) return { cause: 'none', check: { name, ok: true, ...renewed(newer.tokens.expiresAt) } }
  } catch (error) {
    if (!(error instanceof BrokerError) || error.code !== 'refresh_unavailable') throw error
    const why = error.detail ?? error.english
    return { cause: 'renewal_failing', check: { name, ok: false, detail: why, detail_zh: why } }
  }
  if (isDue(credential, now)) {
    const detail = 'the server answers with the same token and the same expiry'
    const detail_zh = '服务器返回了相同的令牌和到期时间'
    return { cause: 'not_extended', check: { name, ok: false, detail, detail_zh } }
  }
  const days = (credential.provider.webSession?.refreshBeforeMs ?? 0) / DAY
  const detail = `the server knows the session; it is renewed with less than ${days} days left`
  const detail_zh = `服务器认可该会话；剩余不足 ${days} 天时自动续期`
  return { cause: 'none', check: { name, ok: true, detail, detail_zh } }
}

function renewed(expiresAt: number | undefined): Pick<Check, 'detail' | 'detail_zh'> {
  if (expiresAt === undefined) return { detail: 'renewed just now', detail_zh: '刚刚续期成功' }
  const until = new Date(expiresAt).toISOString()
  return { detail: `renewed just now, until ${until}`, detail_zh: `刚刚续期成功，有效期至 ${until}` }
}
