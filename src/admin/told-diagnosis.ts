/**
 * A diagnosis as a person reads it: in one language. What ends in `_zh` stays, for programs that show both.
 */
import type { Language } from '../base/language.ts'
import type { Diagnosis } from './config-answers.ts'

export function toldIn(language: Language, diagnosis: Diagnosis): Diagnosis {
  if (language === 'en') return diagnosis
  const { cause_zh: cause, advice_zh: advice, checks } = diagnosis
  return {
    ...diagnosis,
    cause,
    advice,
    checks: checks.map((check) => ({ ...check, detail: check.detail_zh })),
  }
}
