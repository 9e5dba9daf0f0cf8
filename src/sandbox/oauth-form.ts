/**
 * The form bodies OAuth speaks, read strictly, and the errors it answers with (RFC 6749 §3.2, §5.2).
 */
import type { FastifyError, FastifyInstance } from 'fastify'

export type OAuthErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'invalid_scope'
  | 'unsupported_grant_type'
  | 'authorization_pending'
  | 'slow_down'
  | 'expired_token'
  | 'access_denied'

export class OAuthError extends Error {
  readonly code: OAuthErrorCode

  constructor(code: OAuthErrorCode, description: string) {
    super(description)
    this.code = code
  }
}

export type Form = ReadonlyMap<string, string>

const FORM_LIMIT = 64 * 1024

/** Gives `request.body` as URLSearchParams; any other content type as undefined, for `readForm` to refuse. */
export function acceptForms(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: FORM_LIMIT },
    (_request, body, done) => done(null, new URLSearchParams(body.toString())),
  )
  scope.addContentTypeParser('*', (_request, _payload, done) => done(null))
}

/** @throws OAuthError invalid_request */
export function readForm(body: unknown): Form {
  if (!(body instanceof URLSearchParams)) {
    throw new OAuthError('invalid_request', 'the body must be application/x-www-form-urlencoded')
  }
  const form = new Map<string, string>()
  for (const [name, value] of body) {
    // An empty value counts as absent; a name must not come twice (RFC 6749 §3.2).
    if (value === '') continue
    if (form.has(name)) throw new OAuthError('invalid_request', `${name} is repeated`)
    form.set(name, value)
  }
  return form
}

/** @throws OAuthError invalid_request when absent or not of the given form */
export function required(form: Form, name: string, pattern = /^[\x20-\x7e]+$/): string {
  const value = form.get(name)
  if (value === undefined) throw new OAuthError('invalid_request', `${name} is missing`)
  if (!pattern.test(value)) throw new OAuthError('invalid_request', `${name} is malformed`)
  return value
}

/** Answers errors as RFC 6749 §5.2 asks. */
export function answerOAuthErrors(scope: FastifyInstance): void {
  scope.setErrorHandler((error: FastifyError | OAuthError, _request, reply) => {
    if (error instanceof OAuthError) {
      if (error.code === 'invalid_client') {
        reply.code(401).header('www-authenticate', 'Basic realm="sandbox", charset="UTF-8"')
      } else {
        reply.code(400)
      }
      return reply.send({ error: error.code, error_description: error.message })
    }
    const isOurFault = (error.statusCode ?? 500) >= 500
    return reply.code(isOurFault ? 500 : 400).send({
      error: isOurFault ? 'server_error' : 'invalid_request',
      error_description: error.message,
    })
  })
}
