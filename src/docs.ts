/**
 * `/openapi.json` and `/docs`: the management and onboarding API, described by its own schemas.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'

/** In the package, which a bundle leaves behind. */
const PAGES = fileURLToPath(import.meta.resolve('@fastify/swagger-ui/static/'))
const LOGO = { type: 'image/svg+xml', content: readFileSync(`${PAGES}logo.svg`) }

/** Before the routes it is to describe. */
export async function describeApi(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      info: {
        title: 'token-broker',
        description:
          'Below /v1 the API is the one of the model endpoint behind your key, so it is not listed here.',
        version: '0.1.0',
        license: { name: 'MIT' },
      },
      components: { securitySchemes: { adminToken: { type: 'http', scheme: 'bearer' } } },
    },
    transform: ({ schema, url }) => ({ schema: { ...schema, hide: !url.startsWith('/api/') }, url }),
  })
  app.get('/openapi.json', async () => app.swagger())
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true, baseDir: PAGES, logo: LOGO })
}
