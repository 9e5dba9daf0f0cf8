/**
 * Answers of logins (docs/api.md, Onboarding), in the words of the wire.
 */
import Type from 'typebox'
import { type Answer, instant, nullable, text } from '../base/answers.ts'

export const DEVICE_CODE = Type.Object(
  {
    session_id: text('Secret: whoever knows it gets the tokens.'),
    device_code: text('Secret.'),
    user_code: text('What the person enters.'),
    verification_uri: text('Where the person enters it.'),
    verification_uri_complete: text('The same, with the code in it.'),
    expires_in: Type.Integer({ description: 'Seconds.' }),
    interval: Type.Number({ description: 'Seconds between two questions.' }),
  },
  { title: 'DeviceCode', description: 'A login that has begun (RFC 8628).' },
)
export type DeviceCode = Answer<typeof DEVICE_CODE>

const LOGIN_TOKENS = Type.Object(
  {
    access_token: Type.String(),
    refresh_token: nullable(Type.String()),
    expires_at: nullable(instant('When the access token ends; null: the server did not say.')),
    token_type: Type.String(),
    scope: Type.Optional(Type.String()),
    resource_url: Type.Optional(text('Where the token says that its model endpoint is.')),
  },
  { title: 'LoginTokens' },
)
export type LoginTokens = Answer<typeof LOGIN_TOKENS>

export const LOGIN_STATUS = Type.Union(
  [
    Type.Object({
      status: Type.Literal('pending'),
      retry_after: Type.Integer({ description: 'Milliseconds until the next question makes sense.' }),
    }),
    Type.Object({ status: Type.Literal('success'), token: LOGIN_TOKENS }),
  ],
  { title: 'LoginStatus', description: 'How the login stands.' },
)
export type LoginStatus = Answer<typeof LOGIN_STATUS>

export const LOGIN_ENDED = Type.Object(
  {
    status: Type.Enum(['success', 'approved'], {
      description: '`approved`: the account has its tokens once the database is back.',
    }),
  },
  { title: 'LoginEnded', description: 'Its account has the tokens.' },
)
