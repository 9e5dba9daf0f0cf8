/**
 * Errors in the shape OpenAI SDKs expect.
 */
import type { FastifyError, FastifyInstance } from 'fastify'

const MESSAGES = {
  invalid_api_key: { status: 401, message: 'invalid access token or token expired' },
  model_not_found: { status: 404, message: 'The model does not exist' },
  unknown_url: { status: 404, message: 'There is nothing at this URL' },
  invalid_body: { status: 400, message: 'The body is not what this call takes' },
}

export class OpenAIError extends Error {
  readonly code: keyof typeof MESSAGES
  readonly param: string | null

  constructor(code: keyof typeof MESSAGES, param: string | null = null, reason?: string) {
    super(reason ? `${MESSAGES[code].message}: ${reason}` : MESSAGES[code].message)
    this.code = code
    this.param = param
  }
}

export function answerOpenAIErrors(scope: FastifyInstance): void {
  scope.setErrorHandler((error: FastifyError | OpenAIError, _request, reply) => {
    const status = error instanceof OpenAIError ? MESSAGES[error.code].status : (error.statusCode ?? 500)
    return reply.code(status).send({
      error: {
        message: error.message,
        type: status < 500 ? 'invalid_request_error' : 'server_error',
        param: error instanceof OpenAIError ? error.param : null,
        code: error.code ?? null,
      },
    })
  })
}
