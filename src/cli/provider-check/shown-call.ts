/**
 * A call as it is shown: stand-ins as placeholders, and nothing that the file itself keeps where secrets go.
 */
import type { Call } from './rehearsal.ts'
import type { StandIns } from './stand-ins.ts'

const SECRET_NAME =
  /(^|[-_])(authorization|cookie|secret|password|passwd|api[-_]?key|access[-_]?key|token|assertion)$/i
const HIDDEN = '…'

export function shownCall(call: Call, standIns: StandIns): Call {
  const concealed = (name: string, value: string): string => {
    const shown = standIns.shown(value)
    return SECRET_NAME.test(name) && shown === value ? HIDDEN : withoutSignature(shown)
  }
  const headers = Object.entries(call.headers).map(([name, value]) => [name, concealed(name, value)])
  return {
    for: call.for,
    method: call.method,
    url: standIns.shown(call.url),
    headers: Object.fromEntries(headers),
    body: standIns.shown(bodyOf(call, concealed)),
  }
}

/** Of AWS, made with keys that are none. */
function withoutSignature(text: string): string {
  return text.replace(/(Signature=)[0-9a-f]{64}/, '$1{signature}')
}

/** @param concealed of a member, by its name */
function bodyOf({ headers, body }: Call, concealed: (name: string, value: string) => string): string {
  const type = headers['content-type'] ?? ''
  if (type.includes('json') && body.startsWith('{')) {
    const walk = (name: string, value: unknown) =>
      typeof value === 'string' ? concealed(name, value) : value
    return JSON.stringify(JSON.parse(body, walk))
  }
  if (!type.includes('form')) return body
  const pairs = body.split('&').map((pair) => {
    const [name = '', ...value] = pair.split('=')
    return `${name}=${concealed(name, value.join('='))}`
  })
  return pairs.join('&')
}
