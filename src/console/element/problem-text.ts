/**
 * Why a login failed and what to do, in words.
 */

import { type Language, say } from './element-texts.ts'
import type { Problem } from './login-desk.ts'

/** The broker's own words for what is not said here: `detail` is Chinese, `message` English. */
export function problemText(problem: Problem, language: Language): [title: string, text: string] {
  const { code, message, detail, retryAfterSeconds = 60 } = problem
  if (code === 'access_denied') {
    return [
      say(language, 'You refused the approval'),
      say(language, 'Nothing was connected. You can start again any time.'),
    ]
  }
  if (code === 'authorization_timeout') {
    return [
      say(language, 'The code has expired'),
      say(language, 'It was not approved in time. Get a new one.'),
    ]
  }
  if (code === 'rate_limit_exceeded') {
    return [
      say(language, 'Too many tries'),
      say(language, 'Please wait {seconds} s, then try again.', { seconds: retryAfterSeconds }),
    ]
  }
  const text = language === 'zh' ? detail : message
  const unreachable = 'The broker cannot be reached. Check the connection and try again.'
  return [say(language, 'That did not work'), text || say(language, unreachable)]
}
