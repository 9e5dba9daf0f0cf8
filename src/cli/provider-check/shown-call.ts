/**
 * A call as it is shown: stand-ins as placeholders, and nothing that the file itself keeps where secrets go.
 */
import type { Call } from './rehearsal.ts'
import type { StandIns } from './stand-ins.ts'

const SECRET_NAME =
  /(^|[-_])(authorization|cookie|secret|password|passwd|api[-_]?key|access[-_]?key|token|assertion)$/i
const HIDDEN = '…'

export function shownCall(call: Call, standIns: StandIns): Call {
  const concealed: Concealed = (name, value) => {
    const shown = standIns.shown(value)
    return SECRET_NAME.test(name) && shown === value ? HIDDEN : withoutSignature(shown)
  }
  const headers = Object.entries(call.headers).map(([name, value]) => [name, concealed(name, value)])
  return {
    for: call.for,
    method: call.method,
    url: standIns.shown(urlOf(call.url, concealed)),
    headers: Object.fromEntries(headers),
    body: standIns.shown(bodyOf(call, concealed)),
  }
}

/** Of AWS, made with keys that are none. */
function withoutSignature(text: string): string {
  return text.replace(/(Signature=)[0-9a-f]{64}/, '$1{signature}')
}

/** Of a value, by its name. */
type Concealed = (name: string, value: string) => string

function urlOf(url: string, concealed: Concealed): string {
  const [place = '', ...query] = url.split('?')
  return query.length === 0 ? place : `${place}?${formOf(query.join('?'), concealed)}`
}

function formOf(text: string, concealed: Concealed): string {
  const pairs = text.split('&').map((pair) => {
    const [name = '', ...value] = pair.split('=')
    if (value.length === 0) return pair
    return `${name}=${concealed(name, value.join('='))}`
  })
  return pairs.join('&')
}

function bodyOf({ headers, body }: Call, concealed: Concealed): string {
  const type = headers['content-type'] ?? ''
  if (type.includes('json') && body.startsWith('{')) {
    const walk = (name: string, value: unknown) =>
      typeof value === 'string' ? concealed(name, value) : value
    return JSON.stringify(JSON.parse(body, walk))
  }
  return type.includes('form') ? formOf(body, concealed) : body
}
