/**
 * The pages behind a login link, and the one that a browser comes back to, for the API's description: HTML, whatever the
 * status.
 */
import Type from 'typebox'
import { errorPage, text, withErrors } from '../base/answers.ts'
import type { ErrorCode } from '../base/errors.ts'
import { ANSWER_ENDS } from './schemas.ts'

const described = (operationId: string, summary: string) => ({
  operationId,
  tags: ['login page'],
  summary,
  produces: ['text/html'],
})
const pages = (shown: string, ...errors: ErrorCode[]) => withErrors({ 200: text(shown) }, errors, errorPage)

const BY_LINK = Type.Object({ link: text('Secret.') })
const GONE = text('The link was used or is too old, or the account needs no login any more.')

export const LOOK_AT_LINK = {
  ...described('lookAtLoginLink', 'The page that a login link opens'),
  params: BY_LINK,
  response: {
    ...pages('A button that begins the login.', 'decryption_failed', 'rate_limit_exceeded'),
    404: GONE,
  },
}

export const USE_LINK = {
  ...described('useLoginLink', 'Uses a login link up'),
  params: BY_LINK,
  response: {
    ...pages(
      'The code, and where to approve it.',
      'decryption_failed',
      'rate_limit_exceeded',
      'device_authorization_failed',
      'authorization_server_unreachable',
    ),
    404: GONE,
  },
}

export const WAIT_FOR_LOGIN = {
  ...described('waitForLogin', 'The page that waits for the approval'),
  params: Type.Object({ provider: Type.String(), sessionId: text('Secret.') }),
  response: pages(
    'Connected, or not yet: then the page opens itself again.',
    'session_not_found',
    'invalid_device_code',
    'authorization_timeout',
    'access_denied',
    'authorization_server_refused',
    'login_superseded',
    'provider_not_found',
    'decryption_failed',
    'rate_limit_exceeded',
  ),
}

export const COME_BACK = {
  ...described('comeBackFromLogin', 'Where a browser brings the code of a login'),
  description: 'Its query is what RFC 6749 §4.1.2 and RFC 9207 say.',
  params: Type.Object({ provider: Type.String() }),
  response: pages(
    'Connected, or stored as soon as that is possible.',
    ...ANSWER_ENDS,
    'login_begun_elsewhere',
    'provider_not_found',
    'inputs_required',
    'rate_limit_exceeded',
  ),
}
