/**
 * A valid access token, for software that must hold it itself: `POST /api/models/configs/{id}/token` with the admin
 * token, `POST /api/token` with a broker key that may.
 */
import type { FastifyInstance } from 'fastify'
import type { ApiKeys } from '../api-key/api-keys.ts'
import type { KeyLimits } from '../api-key/key-limits.ts'
import type { KeyUses } from '../api-key/key-uses.ts'
import { errorAnswers } from '../base/answers.ts'
import { BrokerError, type ErrorCode } from '../base/errors.ts'
import type { BySchema } from '../base/typed-routes.ts'
import type { Config } from '../settings/config.ts'
import { TOKEN } from './config-answers.ts'
import { actorOf, guarded } from './guard.ts'
import { BY_ID, TOKEN_REQUEST } from './schemas.ts'
import type { TokenReading } from './token-reading.ts'

const ERRORS_OF_READING = [
  'token_reading_disabled',
  'token_reading_not_allowed',
  'config_not_found',
  'no_token',
  'credential_reauth_required',
  'credential_refused',
  'refresh_unavailable',
  'decryption_failed',
] as const satisfies ErrorCode[]

export interface TokenRouteParts {
  readonly config: Pick<Config, 'allowsTokenReading'>
  readonly tokenReading: TokenReading
}

/** Behind the guard. A browser that was taken over has the console's cookie, so that is not enough here. */
export async function tokenRoutes(
  fastify: FastifyInstance,
  { config, tokenReading }: TokenRouteParts,
): Promise<void> {
  const app = fastify.withTypeProvider<BySchema>()
  app.post(
    '/api/models/configs/:id/token',
    {
      schema: {
        ...guarded('readToken', 'tokens', "An account's access token, valid and renewed if due"),
        description: "Only where the operator allows it, and never with the console's cookie.",
        security: [{ adminToken: [] }],
        params: BY_ID,
        response: { 200: TOKEN, ...errorAnswers(...ERRORS_OF_READING) },
      },
    },
    async (request) => {
      if (!config.allowsTokenReading) throw new BrokerError('token_reading_disabled')
      const by = actorOf(request)
      if (by.kind !== 'admin token') throw new BrokerError('token_reading_not_allowed')
      return tokenReading.read(request.params.id, by)
    },
  )
}

export interface BrokerTokenRouteParts extends TokenRouteParts {
  readonly apiKeys: Pick<ApiKeys, 'authenticate'>
  readonly limits: Pick<KeyLimits, 'count'>
  readonly keyUses: Pick<KeyUses, 'note'>
}

/** Not behind the guard: the key is what counts, as under `/v1`, and its limit counts this call as well. */
export async function brokerTokenRoute(
  fastify: FastifyInstance,
  parts: BrokerTokenRouteParts,
): Promise<void> {
  const app = fastify.withTypeProvider<BySchema>()
  const { config, tokenReading, apiKeys, limits, keyUses } = parts
  app.post(
    '/api/token',
    {
      schema: {
        operationId: 'readOwnToken',
        tags: ['tokens'],
        summary: 'The access token of an account of the key that asks',
        description: 'Only where the operator allows it, for a key with `may_read_tokens`.',
        security: [{ brokerKey: [] }],
        body: TOKEN_REQUEST,
        response: { 200: TOKEN, ...errorAnswers(...ERRORS_OF_READING) },
      },
      onRequest: async (_, reply) => void reply.header('cache-control', 'no-store'),
    },
    async (request) => {
      const presented = /^bearer\s+(\S+)\s*$/i.exec(request.headers.authorization ?? '')?.[1]
      const key = await apiKeys.authenticate(presented)
      limits.count(key)
      keyUses.note(key)
      if (!config.allowsTokenReading) throw new BrokerError('token_reading_disabled')
      return tokenReading.readFor(key, request.body.config, request.ip)
    },
  )
}
