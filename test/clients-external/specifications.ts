/**
 * The far end of a suite: a mock of the API's own specification that refuses whatever that does not describe.
 */
import { spawn } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from '../support/free-port.ts'
import { waitUntil } from '../support/wait-until.ts'

/** In the SDK's repository, and where the files of a suite lie by themselves. */
const OPENAI = ['api_reference/openapi.transformed.yml', 'openapi.yml']
/** How OpenAI's SDK writes lists and objects into a query or a form, as its repository starts the mock. */
const BRACKETS = ['query-array', 'form-array', 'query-object', 'form-object'].map(
  (what) => `--validator-${what}-format=brackets`,
)

/** Steady, fed with OpenAI's own description. @param home where `@stdy/cli` is installed @returns its origin */
export async function startOpenAiMock(
  t: Pick<Test, 'teardown'>,
  home: string,
  suite: string,
): Promise<string> {
  const description = OPENAI.map((name) => join(suite, name)).find((file) => existsSync(file))
  if (description === undefined) throw new Error(`${suite} has no ${OPENAI.join(' and no ')}`)
  const port = await freePort()
  const args = ['--host', '127.0.0.1', '-p', String(port), '--quiet', ...BRACKETS, description]
  const mock = spawn(join(home, 'node_modules/.bin/steady'), args, { stdio: 'ignore' })
  t.teardown(() => mock.kill())
  const origin = `http://127.0.0.1:${port}`
  await waitUntil(async () => {
    if (mock.exitCode !== null) throw new Error(`the mock ended with ${mock.exitCode}`)
    const answer = await fetch(`${origin}/_x-steady/health`).catch(() => undefined)
    return answer?.ok === true
  })
  return origin
}

/** As the compiled SDK writes it: the method, and the path as a text or as a template. */
const CALL = /_client\.(get|post|put|patch|delete|getAPIList)\(\s*(?:path )?([`'])(.+?)\2/g
const PAGE = { data: [], has_more: false, first_id: null, last_id: null, next_page: null }
/** Of any kind, a finished batch included. */
const THING = { id: 'thing_01', type: 'thing', results_url: '/v1/messages/batches/thing_01/results' }

interface Route {
  readonly method: string
  readonly path: RegExp
  readonly answer: object
}

/** Anthropic publishes no description: the calls are those that its SDK makes. @param home where that is installed */
export async function startAnthropicMock(t: Pick<Test, 'teardown'>, home: string): Promise<string> {
  const routes = readRoutes(join(home, 'node_modules/@anthropic-ai/sdk/resources'))
  const server = createServer(async (call, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of call) chunks.push(chunk)
    const { method, url = '' } = call
    const route = routes.find((one) => one.method === method && one.path.test(url.split('?')[0] ?? ''))
    if (!route) return refuse(response, 404, 'not_found_error', `${method} ${url}`)
    const mistake = mistakeIn(call, Buffer.concat(chunks).toString('latin1'))
    if (mistake !== undefined) return refuse(response, 400, 'invalid_request_error', mistake)
    return reply(response, 200, route.answer)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function readRoutes(folder: string): Route[] {
  const code = globSync('**/*.mjs', { cwd: folder }).map((file) => readFileSync(join(folder, file), 'utf8'))
  return [...code.join('\n').matchAll(CALL)].map(([, verb = '', , path = '']) => ({
    method: verb === 'getAPIList' ? 'GET' : verb.toUpperCase(),
    path: new RegExp(`^${(path.split('?')[0] ?? '').replaceAll(/\$\{[^}]*\}/g, '[^/]+')}$`),
    answer: verb === 'getAPIList' ? PAGE : THING,
  }))
}

/** What Anthropic's API would refuse; undefined if it takes the call. */
function mistakeIn({ headers }: IncomingMessage, body: string): string | undefined {
  if (headers['anthropic-version'] !== '2023-06-01') return 'anthropic-version: missing'
  const [, boundary] = /^multipart\/form-data; *boundary=(.+)$/.exec(headers['content-type'] ?? '') ?? []
  if (boundary !== undefined) {
    const isWhole = body.startsWith(`--${boundary}\r\n`) && body.trimEnd().endsWith(`\r\n--${boundary}--`)
    return isWhole ? undefined : 'the form has no end'
  }
  if (body === '') return undefined
  if (headers['content-type'] !== 'application/json') return `content-type: ${headers['content-type']}`
  try {
    JSON.parse(body)
    return undefined
  } catch (error) {
    return String(error)
  }
}

function refuse(response: ServerResponse, status: number, type: string, message: string): void {
  reply(response, status, { type: 'error', error: { type, message } })
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
