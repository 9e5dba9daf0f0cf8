/**
 * What a person chose for this browser: language and theme.
 */
import { type Language, languageOf } from './element/element-texts.ts'

export type Theme = 'auto' | 'light' | 'dark'

const LANGUAGE = 'token-broker.language'
const THEME = 'token-broker.theme'

/** Tells `changed`. */
export const settings = new EventTarget()

let chosenLanguage: Language = languageOf(read(LANGUAGE)) ?? languageOf(navigator.language) ?? 'en'
let chosenTheme: Theme = (['light', 'dark'] as const).find((name) => name === read(THEME)) ?? 'auto'

export function language(): Language {
  return chosenLanguage
}

export function theme(): Theme {
  return chosenTheme
}

export function choose(choice: { language?: Language; theme?: Theme }): void {
  chosenLanguage = choice.language ?? chosenLanguage
  chosenTheme = choice.theme ?? chosenTheme
  write(LANGUAGE, chosenLanguage)
  write(THEME, chosenTheme)
  applySettings()
  settings.dispatchEvent(new Event('changed'))
}

export function applySettings(): void {
  const root = document.documentElement
  root.lang = chosenLanguage === 'zh' ? 'zh-CN' : 'en'
  root.dataset['theme'] = chosenTheme
}

/** Browsers may refuse storage; then a choice lasts as long as the page. */
export function read(name: string): string | null {
  try {
    return localStorage.getItem(name)
  } catch {
    return null
  }
}

/** @param value null takes it away */
export function write(name: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(name)
    else localStorage.setItem(name, value)
  } catch {}
}
