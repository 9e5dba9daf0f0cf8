/** Answers every call with the same kilobyte; where there is no nginx. */
import { createServer } from 'node:http'
import { ANSWER } from '../messages.ts'
import { serve } from './parent.ts'

const HEADERS = ['content-type', 'application/json', 'content-length', String(ANSWER.length)]

serve(
  createServer((request, response) => {
    request.resume()
    response.writeHead(200, HEADERS)
    response.end(ANSWER)
  }),
)
