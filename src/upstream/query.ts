/**
 * What a provider file adds to the query of calls.
 */

/** A client's parameter of the same name gives way, however it is written: servers differ in which of two they read. */
export class AddedQuery {
  readonly #names: ReadonlySet<string>
  readonly #text: string

  /** @param added at least one */
  constructor(added: Readonly<Record<string, string>>) {
    const pairs = Object.entries(added)
    this.#names = new Set(pairs.map(([name]) => name.toLowerCase()))
    this.#text = pairs.map((pair) => pair.map(encodeURIComponent).join('=')).join('&')
  }

  /** @param path with or without a query, which stays byte for byte but for what gives way */
  addTo(path: string): string {
    const question = path.indexOf('?')
    if (question === -1) return `${path}?${this.#text}`
    const kept = path
      .slice(question + 1)
      .split('&')
      .filter((part) => part !== '' && !this.#names.has(nameOf(part)))
    return `${path.slice(0, question)}?${[...kept, this.#text].join('&')}`
  }
}

/** In lower case, as some servers read it. */
function nameOf(part: string): string {
  const [name = ''] = new URLSearchParams(part).keys()
  return name.toLowerCase()
}

/** `search` without the parameters that were added on the way from `asked` to `sent`: one may be the credential. */
export function withoutAdded(search: string, sent: string, asked: string): string {
  const added = addedBetween(sent, asked)
  if (added.length === 0) return search
  const names = new Set(added.map(([name]) => name.toLowerCase()))
  const kept = search
    .slice(1)
    .split('&')
    .filter((part) => part !== '' && !names.has(nameOf(part)))
  return kept.length > 0 ? `?${kept.join('&')}` : ''
}

/** Shorter, what was added is a version or a word. */
const MIN_SECRET = 20

/** Whether a header of upstream's quotes what was added so, as a link to the next page does. */
export function quotesAdded(text: string, sent: string, asked: string): boolean {
  return addedBetween(sent, asked).some(([, value]) => {
    const once = encodeURIComponent(value)
    const forms = [value, once, encodeURIComponent(once)]
    return value.length >= MIN_SECRET && forms.some((form) => text.includes(form))
  })
}

function addedBetween(sent: string, asked: string): [name: string, value: string][] {
  const before = new URLSearchParams(queryOf(asked))
  return [...new URLSearchParams(queryOf(sent))].filter(([name, value]) => !before.has(name, value))
}

/** Of a path or a request target; '' if it has none. */
export function queryOf(path: string): string {
  const question = path.indexOf('?')
  return question === -1 ? '' : path.slice(question + 1)
}
