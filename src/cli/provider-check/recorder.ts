/**
 * Takes requests that are meant for anybody, sends none of them, and answers each as its server would.
 */
import { MockAgent } from 'undici'

/** A request as it would have gone out. */
export interface Sent {
  readonly method: string
  readonly url: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Answer {
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string | object
}

/** What its client adds to every request. */
const OF_THE_CLIENT: ReadonlySet<string> = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'host',
])

export class Recorder {
  readonly sent: Sent[] = []
  readonly dispatcher = new MockAgent()

  constructor(answer: (sent: Sent) => Answer) {
    this.dispatcher.disableNetConnect()
    const all = { path: () => true, method: () => true }
    this.dispatcher
      .get(/^/)
      .intercept(all)
      .reply(({ origin = '', path, method, headers, body }) => {
        const sent = {
          method,
          url: `${origin}${path}`,
          headers: headersOf(headers),
          body: body === undefined || body === null ? '' : String(body),
        }
        this.sent.push(sent)
        const { headers: more, body: data } = answer(sent)
        const type = { 'content-type': typeof data === 'string' ? 'text/plain' : 'application/json' }
        return { statusCode: 200, data, responseOptions: { headers: { ...type, ...more } } }
      })
      .persist()
  }
}

/** By name; given as undici takes them, or as a list of names and values in turn. */
export function headersOf(given: unknown): Record<string, string> {
  const pairs = Array.isArray(given)
    ? given.flatMap((name, index) => (index % 2 === 0 ? [[String(name), String(given[index + 1])]] : []))
    : Object.entries((given ?? {}) as Record<string, string>)
  const named = pairs.map(([name = '', value = '']) => [name.toLowerCase(), value] as const)
  return Object.fromEntries(named.filter(([name]) => !OF_THE_CLIENT.has(name)).sort())
}
