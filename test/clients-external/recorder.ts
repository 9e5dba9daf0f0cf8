/**
 * Stands between a client and a server, hands everything on as it comes, and remembers both ways whole.
 */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

export interface Exchange {
  /** `x-client-request-id`, by which the recorders on both sides of a broker know the same call. */
  readonly id: string
  readonly method: string
  /** Path and query, as the client wrote them. */
  readonly target: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly status: number
  readonly answer: Buffer
}

/** Where a call goes on to. */
export interface Onward {
  /** With a path below which it lies, if it does. */
  readonly origin: string
  /** Path and query there; default those of the call. */
  readonly target?: string
  /** In the recording, in the place of the call's. */
  readonly recordedTarget?: string
  /** Over the call's. */
  readonly headers?: IncomingHttpHeaders
}

export interface Recorder {
  /** http://127.0.0.1:PORT */
  readonly origin: string
  /** All that ended since the last time. */
  take(): Exchange[]
}

/** @param route where a call goes on to, or why it does not: that is answered 401 */
export async function startRecorder(
  t: Pick<Test, 'teardown'>,
  route: (call: IncomingMessage) => Onward | string,
): Promise<Recorder> {
  let ended: Exchange[] = []
  const server = createServer(async (call, response) => {
    const body = await readAll(call)
    try {
      ended.push(await carry(call, body, response, route(call)))
      response.end()
    } catch {
      response.destroy() // as the server did
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const take = () => {
    const taken = ended
    ended = []
    return taken
  }
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, take }
}

/** All but the end of the answer, which the client is to see when the exchange is recorded. */
async function carry(
  { method = '', url: target = '', headers }: IncomingMessage,
  body: Buffer,
  response: ServerResponse,
  onward: Onward | string,
): Promise<Exchange> {
  if (typeof onward === 'string') {
    response.writeHead(401).write(onward)
    return { id: idOf(headers), method, target, headers, body, status: 401, answer: Buffer.from(onward) }
  }
  const sent = { ...headers, ...onward.headers }
  const answer = await send(onward.origin + (onward.target ?? target), method, sent, body)
  const status = answer.statusCode ?? 0
  response.writeHead(status, answer.rawHeaders)
  const chunks: Buffer[] = []
  for await (const chunk of answer) {
    chunks.push(chunk)
    response.write(chunk)
  }
  const recorded = onward.recordedTarget ?? target
  return { id: idOf(sent), method, target: recorded, headers, body, status, answer: Buffer.concat(chunks) }
}

function idOf(headers: IncomingHttpHeaders): string {
  return String(headers['x-client-request-id'])
}

/** In the framing that the client chose. @returns the head; the body is still to be read */
function send(
  url: string,
  method: string,
  { host, connection, ...headers }: IncomingHttpHeaders,
  body: Buffer,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const onward = request(url, { method, headers, agent: false })
    onward.once('response', resolve)
    onward.once('error', reject)
    onward.end(body)
  })
}

async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}
