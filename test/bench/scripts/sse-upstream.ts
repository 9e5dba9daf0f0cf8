/**
 * Streams server-sent events: `?stream=N&chunks=N&pause=MS`. Without a pause every open stream gets one chunk a
 * turn of the event loop.
 */
import { createServer } from 'node:http'
import { serve } from './parent.ts'
import { StreamWriter } from './sse-stream.ts'

const eager = new Set<StreamWriter>()
let isTurning = false

serve(
  createServer((request, response) => {
    request.resume()
    const query = new URLSearchParams(request.url?.split('?')[1])
    const writer = new StreamWriter(response, Number(query.get('stream')), Number(query.get('chunks')))
    const pauseMs = Number(query.get('pause'))
    if (pauseMs === 0) {
      eager.add(writer)
      response.on('close', () => eager.delete(writer))
      if (!isTurning) setImmediate(turn)
      isTurning = true
      return
    }
    const timer = setInterval(() => writer.writeNext() || clearInterval(timer), pauseMs)
    response.on('close', () => clearInterval(timer))
  }),
)

function turn(): void {
  for (const writer of eager) if (!writer.isBlocked && !writer.writeNext()) eager.delete(writer)
  isTurning = eager.size > 0
  if (isTurning) setImmediate(turn)
}
