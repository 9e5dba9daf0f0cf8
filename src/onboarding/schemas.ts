/**
 * What a login is asked with (docs/api.md, Onboarding), in the words of the wire, and its routes as the API's description
 * has them.
 */
import Type from 'typebox'
import { errorAnswers, text, textOf } from '../base/answers.ts'
import { DEVICE_CODE, LOGIN_ENDED, LOGIN_STATUS } from './answers.ts'

const OF_PROVIDER = Type.Object({ provider: text('The name of a provider file.') })

/** One of them. What is wrong with it is `invalid_device_code`, so nothing here is required or limited. */
const SESSION_QUERY = Type.Object({
  session_id: Type.Optional(text('As the call for a device code answered it.')),
  device_code: Type.Optional(text('Instead of `session_id`.')),
})

const NO_DEVICE_FLOW = ['provider_not_found', 'device_flow_unsupported'] as const
/** How a login ends that brings no tokens. */
const ENDS = [
  'invalid_device_code',
  'session_not_found',
  'authorization_timeout',
  'access_denied',
  'authorization_server_refused',
  'decryption_failed',
] as const

const described = (operationId: string, summary: string) => ({
  operationId,
  tags: ['login'],
  summary,
  params: OF_PROVIDER,
})

export const BEGIN_LOGIN = {
  ...described('beginLogin', 'Begins a login'),
  response: {
    200: DEVICE_CODE,
    ...errorAnswers(
      ...NO_DEVICE_FLOW,
      'device_authorization_failed',
      'inputs_required',
      'origin_not_allowed',
      'rate_limit_exceeded',
    ),
  },
}

export const FOLLOW_LOGIN = {
  ...described('followLogin', 'How a login stands'),
  querystring: SESSION_QUERY,
  response: { 200: LOGIN_STATUS, ...errorAnswers(...NO_DEVICE_FLOW, ...ENDS) },
}

export const WATCH_LOGIN = {
  ...described('watchLogin', 'How a login stands, as it changes'),
  querystring: SESSION_QUERY,
  response: {
    200: textOf(
      'text/event-stream',
      'What `/status` answers, ended by a `success` or by an `error` event whose data is an error body.',
    ),
    ...errorAnswers(...NO_DEVICE_FLOW, ...ENDS, 'rate_limit_exceeded'),
  },
}

/** How a login by authorization code ends that brings no tokens. */
export const ANSWER_ENDS = [
  'session_not_found',
  'login_used',
  'authorization_timeout',
  'access_denied',
  'issuer_mismatch',
  'authorization_server_refused',
  'authorization_unclear',
  'login_superseded',
  'decryption_failed',
] as const

export const BRING_ANSWER = {
  operationId: 'bringLoginAnswer',
  tags: ['login'],
  summary: 'Ends a login by authorization code with the address that a browser ended at',
  description: 'For a browser that cannot come back to the broker, or that did not begin the login.',
  body: Type.Object(
    {
      session_id: Type.String({ minLength: 1, maxLength: 64 }),
      url: Type.String({
        minLength: 1,
        maxLength: 16_384,
        description: 'All of it, as the address bar shows it.',
      }),
    },
    { additionalProperties: false },
  ),
  response: {
    200: LOGIN_ENDED,
    ...errorAnswers(
      ...ANSWER_ENDS,
      'pasted_address_unfit',
      'provider_not_found',
      'inputs_required',
      'origin_not_allowed',
    ),
  },
}
