/**
 * What can be asked of an account's credential, below `/api/models/configs` (docs/api.md, Management).
 */
import type { FastifyInstance } from 'fastify'
import { errorAnswers } from '../base/answers.ts'
import { languageFor } from '../base/language.ts'
import type { BySchema } from '../base/typed-routes.ts'
import { CONNECTION_TEST_ANSWER, DIAGNOSIS, LISTED_MODELS, MODEL_CONFIG } from './config-answers.ts'
import { actorOf, guarded } from './guard.ts'
import type { AdminParts } from './routes.ts'
import { BY_ID, CONNECTION_TEST } from './schemas.ts'
import { toldIn } from './told-diagnosis.ts'

/** Of a credential that is renewed before it is used. */
const RENEWAL = [
  'credential_reauth_required',
  'credential_refused',
  'refresh_unavailable',
  'decryption_failed',
] as const

type CredentialParts = Pick<AdminParts, 'adminConfigs' | 'testConnection'>

/** In the scope of the guard. */
export function credentialRoutes(
  fastify: FastifyInstance,
  { adminConfigs, testConnection }: CredentialParts,
): void {
  const app = fastify.withTypeProvider<BySchema>()
  app.post(
    '/api/models/configs/test-connection',
    {
      schema: {
        ...guarded('testConnection', 'accounts', 'Tries a base URL and a key that are not stored yet'),
        body: CONNECTION_TEST,
        response: { 200: CONNECTION_TEST_ANSWER },
      },
    },
    async (request) => testConnection(request.body, languageFor(request.raw)),
  )
  app.post(
    '/api/models/configs/:id/diagnose',
    {
      schema: {
        ...guarded('diagnoseConfig', 'accounts', 'Tries an account, and says what is wrong and what to do'),
        params: BY_ID,
        response: { 200: DIAGNOSIS, ...errorAnswers('config_not_found') },
      },
    },
    async (request) =>
      toldIn(languageFor(request.raw), await adminConfigs.diagnose(request.params.id, actorOf(request))),
  )
  app.get(
    '/api/models/configs/:id/models',
    {
      schema: {
        ...guarded('listModels', 'accounts', "What an account's endpoint says that it serves"),
        params: BY_ID,
        response: {
          200: LISTED_MODELS,
          ...errorAnswers('config_not_found', ...RENEWAL, 'upstream_not_allowed', 'upstream_not_configured'),
        },
      },
    },
    async (request) => {
      const { models, reason } = await adminConfigs.upstreamModels(request.params.id)
      return { models, reason: reason?.[languageFor(request.raw) === 'zh' ? 'chinese' : 'english'] ?? null }
    },
  )
  app.post(
    '/api/models/configs/:id/refresh',
    {
      schema: {
        ...guarded('refreshConfig', 'accounts', "Renews an account's token now"),
        params: BY_ID,
        response: {
          200: MODEL_CONFIG,
          ...errorAnswers('config_not_found', ...RENEWAL, 'session_not_extended'),
        },
      },
    },
    async (request) => adminConfigs.refresh(request.params.id, actorOf(request)),
  )
}
