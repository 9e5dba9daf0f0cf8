/**
 * `node:http` in front of this project's upstream client, with nothing between: no router, key, routing, log or
 * metrics. It knows whole answers of one kind only. What the broker costs above it are the broker's own duties.
 */
import { createServer } from 'node:http'
import { atEndOfTurn } from '../../../src/base/turn.ts'
import { UpstreamPool } from '../../../src/upstream/pool.ts'
import { options, serve } from './parent.ts'

const { upstream } = options<{ upstream: string }>()
const pool = new UpstreamPool()

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', async () => {
    const call = pool.send({
      origin: upstream,
      path: request.url ?? '',
      method: request.method ?? '',
      headers: ['content-type', 'application/json'],
      body: Buffer.concat(chunks),
    })
    const { status, headers } = await call.head
    response.writeHead(status, headers)
    const text = (await call.peek(Number.POSITIVE_INFINITY)).toString('latin1')
    atEndOfTurn(() => response.end(text, 'latin1'))
  })
})
serve(server)
