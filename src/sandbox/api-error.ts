/**
 * Errors in the shape that SDKs expect: OpenAI's, or Anthropic's where its API is called.
 */
import type { FastifyError, FastifyInstance, FastifyRequest } from 'fastify'

const MESSAGES = {
  invalid_api_key: { status: 401, message: 'invalid access token or token expired' },
  model_not_found: { status: 404, message: 'The model does not exist' },
  not_found: {
    status: 404,
    message: 'There is nothing with this id; the sandbox forgets all when it is started anew',
  },
  previous_response_not_found: { status: 400, message: 'There is no response with this id' },
  not_kept: { status: 400, message: 'The sandbox keeps no file of more than 1 MiB' },
  unknown_url: { status: 404, message: 'There is nothing at this URL' },
  invalid_body: { status: 400, message: 'The body is not what this call takes' },
}

export class ApiError extends Error {
  readonly code: keyof typeof MESSAGES
  readonly param: string | null

  constructor(code: keyof typeof MESSAGES, param: string | null = null, reason?: string) {
    super(reason ? `${MESSAGES[code].message}: ${reason}` : MESSAGES[code].message)
    this.code = code
    this.param = param
  }
}

export function isOfAnthropic({ url, headers }: Pick<FastifyRequest, 'url' | 'headers'>): boolean {
  return headers['anthropic-version'] !== undefined || /^\/v1\/messages(?:[/?]|$)/.test(url)
}

const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  404: 'not_found_error',
}

export function answerApiErrors(scope: FastifyInstance): void {
  scope.setErrorHandler((error: FastifyError | ApiError, request, reply) => {
    const status = error instanceof ApiError ? MESSAGES[error.code].status : (error.statusCode ?? 500)
    const ofOthers =
      status < 500 ? 'invalid_request_error' : isOfAnthropic(request) ? 'api_error' : 'server_error'
    if (isOfAnthropic(request)) {
      const type = ANTHROPIC_TYPES[status] ?? ofOthers
      const body = { type: 'error', error: { type, message: error.message }, request_id: `req_${request.id}` }
      return reply.code(status).header('request-id', body.request_id).send(body)
    }
    const param = error instanceof ApiError ? error.param : null
    return reply
      .code(status)
      .send({ error: { message: error.message, type: ofOthers, param, code: error.code ?? null } })
  })
}
