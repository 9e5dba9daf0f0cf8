/**
 * Streams server-sent events: `?stream=N&chunks=N&pause=MS`. Without a pause a stream is sent in one go, chunk
 * behind chunk.
 */
import { createServer } from 'node:http'
import { serve } from './parent.ts'
import { StreamWriter } from './sse-stream.ts'

serve(
  createServer((request, response) => {
    request.resume()
    const query = new URLSearchParams(request.url?.split('?')[1])
    const writer = new StreamWriter(response, Number(query.get('stream')), Number(query.get('chunks')))
    const pauseMs = Number(query.get('pause'))
    if (pauseMs === 0) {
      writer.writeAll()
      return
    }
    const timer = setInterval(() => writer.writeNext() || clearInterval(timer), pauseMs)
    response.on('close', () => clearInterval(timer))
  }),
)
