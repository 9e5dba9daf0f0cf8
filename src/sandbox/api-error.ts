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
  not_in_background: { status: 400, message: 'This response was not made with background: true' },
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

/** In OpenAI's shape. */
export function openAiError(error: FastifyError | ApiError) {
  const status = error instanceof ApiError ? MESSAGES[error.code].status : (error.statusCode ?? 500)
  const type = status < 500 ? 'invalid_request_error' : 'server_error'
  const param = error instanceof ApiError ? error.param : null
  return { status, error: { message: error.message, type, param, code: error.code ?? null } }
}

export function answerApiErrors(scope: FastifyInstance): void {
  scope.setErrorHandler((thrown: FastifyError | ApiError, request, reply) => {
    const { status, error } = openAiError(thrown)
    if (isOfAnthropic(request)) {
      const type = ANTHROPIC_TYPES[status] ?? (status < 500 ? error.type : 'api_error')
      const body = { type: 'error', error: { type, message: error.message }, request_id: `req_${request.id}` }
      return reply.code(status).header('request-id', body.request_id).send(body)
    }
    return reply.code(status).send({ error })
  })
}
