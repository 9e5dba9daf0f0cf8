/**
 * Which of our two languages somebody reads.
 */
export type Language = 'en' | 'zh'

/** Said in both. */
export interface Said {
  readonly english: string
  readonly chinese: string
}

/** Of what a client prefers most (RFC 9110 §12.5.4); anything but Chinese is English. */
export function preferredLanguage(acceptLanguage: string | undefined): Language {
  const ranked = (acceptLanguage ?? '').split(',').map((part) => {
    const [tag = '', ...parameters] = part.trim().split(/\s*;\s*/)
    const weight = parameters.find((text) => /^q=/i.test(text))?.slice(2)
    return { tag, weight: weight === undefined ? 1 : Number(weight) || 0 }
  })
  const best = ranked.reduce((one, other) => (other.weight > one.weight ? other : one))
  return languageOf(best.tag)
}

/** The terminal's own, by the variable that counts most (POSIX.1-2017 §8.2). */
export function terminalLanguage(env: Readonly<Record<string, string | undefined>>): Language {
  return languageOf(env['LC_ALL'] || env['LC_MESSAGES'] || env['LANG'] || '')
}

/** @param url with `?lang=`, which counts more than the header: pages choose, and event streams can set no header */
export function languageFor({ url = '', headers }: RequestHead): Language {
  const [, query = ''] = url.split('?', 2)
  const asked = query.includes('lang=') ? new URLSearchParams(query).get('lang') : null
  return asked === null ? preferredLanguage(headers['accept-language']) : languageOf(asked)
}

interface RequestHead {
  readonly url?: string | undefined
  readonly headers: { readonly 'accept-language'?: string | undefined }
}

/** `zh`, `zh-CN`, `zh_CN.UTF-8`, `zh-Hant` … are Chinese. */
function languageOf(tag: string): Language {
  return /^zh\b|^zh_/i.test(tag.trim()) ? 'zh' : 'en'
}
