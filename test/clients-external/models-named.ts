/** What models a call names, wherever in it. */
import type { Exchange } from './recorder.ts'

const IN_PATH = /^\/v1\/models\/([^?]+)/
const IN_QUERY = /[?&]model=([^&]+)/g
const IN_FORM = /name="model"\r\n\r\n([^\r]*)\r\n/g

export function modelsNamedIn({
  target,
  headers,
  body,
}: Pick<Exchange, 'target' | 'headers' | 'body'>): string[] {
  const inPath = IN_PATH.exec(target)?.slice(1) ?? []
  const inQuery = [...target.matchAll(IN_QUERY)].map(([, name = '']) => name)
  const inForm = [...body.toString().matchAll(IN_FORM)].map(([, name = '']) => name)
  const isJson = body.length > 0 && headers['content-type'] === 'application/json'
  return [
    ...[...inPath, ...inQuery].map(decodeURIComponent),
    ...inForm,
    ...(isJson ? inValue(JSON.parse(body.toString())) : []),
  ]
}

function inValue(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, inner]) =>
    name === 'model' && typeof inner === 'string' ? [inner] : inValue(inner),
  )
}
