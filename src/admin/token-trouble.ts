/**
 * Why a token call brought no token: by the server's words, by its clock, and by what the call was made with.
 */
import { stat } from 'node:fs/promises'
import { SECOND } from '../base/clock.ts'
import { skewIn } from '../base/clock-skew.ts'
import { readJwt } from '../oauth/jwt.ts'
import { readSimpleSource } from '../oauth/simple-sources.ts'
import type { Provider } from '../provider/provider.ts'
import type { SimpleSource } from '../provider/simple-source.ts'
import type { Source } from '../provider/source.ts'
import type { Cause } from './causes.ts'
import type { Check } from './config-answers.ts'
import { causeIn } from './refusal-words.ts'

export interface Trouble {
  /** Undefined: nothing more is known than that there is no token. */
  readonly cause: Cause | undefined
  readonly checks: readonly Check[]
}

const NOT_THERE =
  /the file (?:cannot be read|is empty)|is not set$|has no value$|_FILE is empty|cannot be read \(E/
const NO_METADATA = /metadata(?: service)? cannot be reached|the container cannot be reached/

/** @param why what the last attempt said. @param now epoch ms. Never throws */
export async function tokenTrouble(why: string, provider: Provider, now: number): Promise<Trouble> {
  const identities = await Promise.all(identitiesOf(provider).map((source) => identityIn(source, now)))
  const skew = skewIn(why)
  const checks = [...identities.map(({ check }) => check), ...(skew === undefined ? [] : [clockCheck(skew)])]
  const found = {
    skew,
    hasEnded: identities.some(({ isOver }) => isOver),
    isTraded: identities.some(({ isForeign }) => isForeign),
  }
  return {
    cause: causeOf(why, provider, found),
    checks: checks.filter((one) => one !== undefined),
  }
}

function causeOf(
  why: string,
  provider: Provider,
  { skew, hasEnded, isTraded }: { skew: number | undefined; hasEnded: boolean; isTraded: boolean },
): Cause | undefined {
  if (NOT_THERE.test(why)) return 'source_missing'
  const [first] = provider.tokenRequest ?? []
  if (NO_METADATA.test(why) || (first?.isMetadata && !/status \d/.test(why))) return 'no_metadata_service'
  const named = causeIn(why)
  if (named === 'identity_expired' && !isTraded && signsItself(provider)) return 'clock_skew'
  if (named !== undefined) return named
  if (hasEnded) return 'identity_expired'
  return skew !== undefined && signsItself(provider) ? 'clock_skew' : undefined
}

/** Whether what it proves itself with holds a time of ours. */
export function signsItself({ authorizationServer, subject, signedJwt, awsSigV4 }: Provider): boolean {
  const sources = [authorizationServer?.clientAssertion, subject?.token]
  return (
    signedJwt !== undefined ||
    awsSigV4 !== undefined ||
    authorizationServer?.clientAuthentication === 'private_key_jwt' ||
    sources.some((source) => source?.from === 'signed_jwt')
  )
}

export function clockCheck(skew: number): Check {
  const seconds = Math.abs(skew)
  const [english, chinese] = skew > 0 ? ['behind', '慢'] : ['ahead of', '快']
  return {
    name: 'clock',
    ok: false,
    detail: `the clock of this machine is ${seconds} s ${english} the server's`,
    detail_zh: `本机时钟比服务器${chinese} ${seconds} 秒`,
  }
}

/** Tokens of somebody else's that it shows, and assertions that it signs. */
function identitiesOf({ subject, authorizationServer: server, awsSigV4 }: Provider): Source[] {
  const isAsked = awsSigV4?.sources.includes('web_identity') && !awsSigV4.keys
  const path = isAsked ? awsSigV4?.environment.get('AWS_WEB_IDENTITY_TOKEN_FILE') : undefined
  const ofAws: Source[] =
    path === undefined ? [] : [{ from: 'file', name: 'AWS_WEB_IDENTITY_TOKEN_FILE', path }]
  return [subject?.token, server?.clientAssertion, ...ofAws].filter((source) => source !== undefined)
}

interface Identity {
  /** Somebody else has issued it. */
  readonly isForeign: boolean
  readonly isOver: boolean
  readonly check: Check | undefined
}

const NOTHING: Identity = { isForeign: false, isOver: false, check: undefined }

async function identityIn(source: Source, now: number): Promise<Identity> {
  if (source.from === 'signed_jwt') {
    const { aud } = source.jwt.claims
    return { ...NOTHING, check: said(true, [`${source.name}: signed here`, aud && `aud ${aud}`]) }
  }
  if (source.from !== 'file' && source.from !== 'text') return NOTHING
  const claims = readJwt(await readSimpleSource(source).catch(() => ''))
  if (!claims) return NOTHING
  const { issuer, subject, audience, expiresAt } = claims
  const isOver = expiresAt !== undefined && expiresAt <= now
  const names = [issuer && `iss ${issuer}`, subject && `sub ${subject}`, audience && `aud ${audience}`]
  const written = await ageOf(source, now)
  const [end, endChinese] = lifeOf(expiresAt, now)
  const check = said(
    !isOver,
    [`${source.name}: ${end}`, written !== undefined && `its file was written ${written} s ago`, ...names],
    [`${source.name}：${endChinese}`, written !== undefined && `文件写于 ${written} 秒前`, ...names],
  )
  return { isForeign: true, isOver, check }
}

function lifeOf(expiresAt: number | undefined, now: number): [english: string, chinese: string] {
  if (expiresAt === undefined) return ['a JWT without an end', '没有到期时间的 JWT']
  const seconds = Math.round(Math.abs(expiresAt - now) / SECOND)
  return expiresAt <= now
    ? [`a JWT that ended ${seconds} s ago`, `JWT 已于 ${seconds} 秒前到期`]
    : [`a JWT that ends in ${seconds} s`, `JWT 将于 ${seconds} 秒后到期`]
}

/** Seconds; undefined: it is in no file. */
async function ageOf(source: SimpleSource, now: number): Promise<number | undefined> {
  if (source.from !== 'file') return undefined
  const at = await stat(source.path).catch(() => undefined)
  return at && Math.max(0, Math.round((now - at.mtimeMs) / SECOND))
}

function said(
  ok: boolean,
  english: readonly (string | number | false | undefined | unknown)[],
  chinese = english,
): Check {
  const listed = (parts: typeof english) => parts.filter(Boolean).join(', ')
  return { name: 'source', ok, detail: listed(english), detail_zh: listed(chinese) }
}
