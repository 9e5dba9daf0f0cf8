/**
 * What can be told of a credential without asking anybody: whose it is, since when, for how long, what renews it.
 */
import { type Credential, isRenewable, isUsable } from '../credential/credential.ts'
import { daysRemaining, readJwt } from '../oauth/jwt.ts'
import { NOT_DUE_YET, UNMOVED } from '../oauth/web-session-renewal.ts'
import type { Check } from './config-answers.ts'

const UNMOVED_CHINESE = '服务器返回了相同的令牌和到期时间：它不会以这种方式延长会话'

/** @param lastError of the row, where its last renewal brought nothing */
export function factsOf(credential: Credential, lastError: string | undefined, now: number): Check[] {
  const checks = [login(credential), expiry(credential, now)]
  if (credential.provider.kind !== 'api_key') checks.push(renewal(credential, lastError))
  return checks
}

function login({ tokens: { accessToken }, provider: { kind } }: Credential): Check {
  const { length } = accessToken
  if (kind === 'api_key') {
    return {
      name: 'login',
      ok: true,
      detail: `API key, ${length} characters`,
      detail_zh: `API 密钥，${length} 个字符`,
    }
  }
  const claims = readJwt(accessToken)
  const user = claims?.userId
  const since = claims?.issuedAt === undefined ? undefined : new Date(claims.issuedAt).toISOString()
  const english = [claims ? 'a JWT' : 'opaque', user && `of user ${user}`, since && `issued ${since}`]
  const chinese = [claims ? 'JWT' : '不透明令牌', user && `用户 ${user}`, since && `签发于 ${since}`]
  return {
    name: 'login',
    ok: true,
    detail: `${kind}, ${english.filter(Boolean).join(' ')}, ${length} characters`,
    detail_zh: `${kind}，${chinese.filter(Boolean).join('，')}，${length} 个字符`,
  }
}

function expiry(credential: Credential, now: number): Check {
  const { expiresAt } = credential.tokens
  const ok = isUsable(credential, now)
  if (expiresAt === undefined)
    return { name: 'expiry', ok, detail: 'no known end', detail_zh: '到期时间未知' }
  const at = new Date(expiresAt).toISOString()
  const days = daysRemaining(expiresAt, now)
  return {
    name: 'expiry',
    ok,
    detail: `ends at ${at}, ${days} days left`,
    detail_zh: `到期于 ${at}，剩余 ${days} 天`,
  }
}

function renewal(credential: Credential, lastError: string | undefined): Check {
  const name = 'refresh'
  if (lastError !== undefined && lastError !== NOT_DUE_YET)
    return {
      name,
      ok: false,
      detail: lastError,
      detail_zh: lastError === UNMOVED ? UNMOVED_CHINESE : lastError,
    }
  return isRenewable(credential)
    ? { name, ok: true, detail: 'can be renewed', detail_zh: '可以续期' }
    : { name, ok: false, detail: 'nothing to renew it with', detail_zh: '没有可用于续期的凭据' }
}
