/**
 * The console at `/` and the embeddable element, as `npm run build` made them. Public: what they show is asked for
 * by calls that are guarded.
 */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance, FastifyReply } from 'fastify'

const BUILT = fileURLToPath(new URL('../../dist/console/', import.meta.url))

/** No code but our files', no markup from strings: Lit's templates are the one policy that may make HTML. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types lit-html',
].join('; ')

const SECURITY_HEADERS = {
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

const NOT_BUILT = `The console is not built yet. Run this in the project, then reload:

    npm run build

The API does not need it.
`

/** @param basePath of PUBLIC_URL, '' for none. @param built where `npm run build` puts it */
export async function consoleRoutes(
  app: FastifyInstance,
  basePath: string,
  { built = BUILT } = {},
): Promise<void> {
  await app.register(fastifyStatic, {
    root: built,
    serve: false,
    preCompressed: true,
    cacheControl: false,
  })
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers(SECURITY_HEADERS)
  })

  app.get('/', async (_request, reply) => {
    if (!existsSync(`${built}index.html`))
      return reply.code(503).type('text/plain; charset=utf-8').send(NOT_BUILT)
    reply.header('cache-control', 'no-cache')
    if (basePath === '') return reply.sendFile('index.html')
    // People also come without the slash at the end, where its relative addresses would lead elsewhere.
    const page = readFileSync(`${built}index.html`, 'utf8').replaceAll('"./', `"${basePath}/`)
    return reply.type('text/html; charset=utf-8').send(page)
  })
  app.get<{ Params: { '*': string } }>('/assets/*', async (request, reply) => {
    keepForEver(reply)
    return reply.sendFile(`assets/${request.params['*']}`)
  })
  // A module of another site's page: it asks with CORS, whoever it is, and gets what anybody may read.
  app.get('/token-broker-connect.js', async (_request, reply) =>
    reply
      .headers({
        'access-control-allow-origin': '*',
        'cross-origin-resource-policy': 'cross-origin',
        'cache-control': 'public, max-age=300',
      })
      .sendFile('token-broker-connect.js'),
  )
}

/** Assets are named by their content. */
function keepForEver(reply: FastifyReply): void {
  reply.header('cache-control', 'public, max-age=31536000, immutable')
}
