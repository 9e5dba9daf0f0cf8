/**
 * `/openapi.json` and `/docs`: every route but those of `/v1` and of the console's files, described by its own schemas.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance, FastifySchema, RouteOptions } from 'fastify'
import Type from 'typebox'
import { errorPage, withErrors } from '../base/answers.ts'
import type { ErrorCode } from '../base/errors.ts'
import type { Config } from '../settings/config.ts'

/** In the package, which a bundle leaves behind. */
const PAGES = fileURLToPath(import.meta.resolve('@fastify/swagger-ui/static/'))
const LOGO = { type: 'image/svg+xml', content: readFileSync(`${PAGES}logo.svg`) }

const DESCRIBED = /^\/(?:api\/|health|metrics$|login\/|oauth\/|openapi\.json$)/

const INFO = {
  title: 'token-broker',
  description:
    'Below /v1 the API is the one of the model endpoint behind your key, so it is not listed here.\n\n' +
    'Instants are epoch milliseconds. Every call takes `?lang=en` or `?lang=zh`, which counts more than ' +
    'Accept-Language. Answers may get further fields, so a client must not refuse what it does not know.',
  version: '0.2.0',
  license: { name: 'MIT', identifier: 'MIT' },
}

const TAGS = [
  {
    name: 'login',
    description:
      'Logins for front ends, by device flow (RFC 8628) or authorization code. The id of a session is its secret.',
  },
  { name: 'accounts', description: 'Model configs: what is connected, and how it is.' },
  { name: 'keys', description: 'Broker keys, for apps.' },
  { name: 'tokens', description: 'Access tokens, for software that must hold them itself.' },
  { name: 'usage', description: 'What keys used.' },
  { name: 'audit', description: 'Who did what.' },
  { name: 'console', description: 'What the console needs beyond that.' },
  { name: 'operations', description: 'For whoever runs the broker.' },
  {
    name: 'login page',
    description:
      'Pages behind the link of a `credential.reauth_required` event, and where logins by authorization code come back to.',
  },
]

const SECURITY_SCHEMES = {
  adminToken: { type: 'http', scheme: 'bearer', description: 'ADMIN_TOKEN.' },
  brokerKey: { type: 'http', scheme: 'bearer', description: 'A broker key, `sk-tb-…`.' },
  consoleSession: {
    type: 'apiKey',
    in: 'cookie',
    name: 'token_broker_session',
    description: "The console's cookie; what changes something also needs its `x-csrf-token`.",
  },
} as const

/** Before the routes it is to describe. */
export async function describeApi(app: FastifyInstance, { publicUrl, basePath }: Config): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: INFO,
      tags: TAGS,
      servers: [{ url: basePath === '' ? '/' : (publicUrl ?? basePath) }],
      components: { securitySchemes: SECURITY_SCHEMES },
    },
    transform: ({ schema, url, route }) => ({ schema: described(schema, url, route), url }),
    transformObject: (document) => ('openapiObject' in document ? named(document.openapiObject) : {}),
  })
  const schema = {
    operationId: 'describeApi',
    tags: ['operations'],
    summary: 'This description',
    response: { 200: Type.Unsafe<object>({ type: 'object' }) },
  }
  app.get('/openapi.json', { schema }, async () => app.swagger())
  const pages = { routePrefix: '/docs', staticCSP: true, baseDir: PAGES, logo: LOGO }
  await app.register(swaggerUi, { ...pages, indexPrefix: basePath })
}

/** With the errors that a route need not name, for they come from what stands before it. */
function described(schema: FastifySchema = {}, url: string, route: RouteOptions): FastifySchema {
  if (!DESCRIBED.test(url)) return { hide: true }
  const describe = schema.produces?.includes('text/html') ? errorPage : undefined
  const response = withErrors({ ...(schema.response as object) }, errorsBefore(schema, url, route), describe)
  return { ...schema, response }
}

const SECURITY_ERRORS: Readonly<Record<string, readonly ErrorCode[]>> = {
  adminToken: ['admin_token_required', 'rate_limit_exceeded'],
  brokerKey: ['invalid_api_key', 'rate_limit_exceeded'],
  consoleSession: ['admin_token_required', 'rate_limit_exceeded'],
}

function errorsBefore(
  schema: FastifySchema,
  url: string,
  { method, attachValidation }: RouteOptions,
): ErrorCode[] {
  const isReading = method === 'GET'
  const checks = [schema.params, schema.querystring, schema.body].some((part) => part !== undefined)
  const schemes = (schema.security ?? []).flatMap((scheme) => Object.keys(scheme))
  const errors: readonly (readonly ErrorCode[] | false)[] = [
    ['malformed_request', 'internal_error'],
    !url.startsWith('/health/') && ['storage_unavailable', 'overloaded'],
    checks && !attachValidation && ['invalid_request'],
    !isReading && ['request_timeout', 'request_too_large', 'unsupported_media_type'],
    ...schemes.map((scheme) => SECURITY_ERRORS[scheme] ?? []),
    !isReading && schemes.includes('consoleSession') && ['csrf_token_required'],
  ]
  return errors.filter((codes) => codes !== false).flat()
}

/** Schemas with a title stand once among the components, and are referred to by it. */
function named<T extends { components?: object }>(document: T): T {
  const schemas: Record<string, unknown> = {}
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk)
    if (typeof value !== 'object' || value === null) return value
    const { title, ...rest } = Object.fromEntries(
      Object.entries(value).map(([name, one]) => [name, walk(one)]),
    )
    const isSchema = typeof title === 'string' && ['type', 'enum', 'anyOf'].some((name) => name in rest)
    if (!isSchema) return title === undefined ? rest : { title, ...rest }
    schemas[title] = rest
    return { $ref: `#/components/schemas/${title}` }
  }
  const walked = walk(document) as T
  return { ...walked, components: { ...walked.components, schemas } }
}
