/**
 * Addresses with placeholders in a provider file, and where they may lead.
 *
 * A secret goes to the host that the author chose, whatever is filled in: scheme, port and at least the two rightmost
 * labels of a host are the author's text, what stands left of them is a choice or fits a pattern that was probed with
 * what could end a host, and the address that came of it is parsed and compared with what was composed. A whole host
 * can be of `type: host` only, whose suffixes the author names, or whose addresses are judged when it is connected to
 * (`any_host`). In a path a value is one segment, or less.
 */
import { type Input, partsOfHost } from './inputs.ts'
import {
  nameOf,
  type Reference,
  referencesOf,
  type Template,
  UnfitValue,
  UnreadableTemplate,
  type Value,
  type Values,
  valueBehind,
} from './placeholders.ts'

export interface AddressTemplate {
  /** `https://`, or `http://`. */
  readonly scheme: string
  readonly host: Template
  /** From the first slash on. */
  readonly path: Template
}

type Inputs = ReadonlyMap<string, Input>

/** What could end a host, or begin another one. */
const PROBES = ['a.b', 'a/b', 'a@b', 'a:1', 'a#b', 'a?b', 'a\\b', '..', 'a%2eb', 'é', '\n', 'a\n', 'a\nb']
const AUTHORS_END = /\.[a-z0-9-]+\.[a-z0-9-]+(?::\d+)?$/
const HOST_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/** @throws UnreadableTemplate what is wrong with it, said of its field */
export function addressTemplate(template: Template, inputs: Inputs): AddressTemplate {
  const address = split(template)
  const all = [...referencesOf(address.host), ...referencesOf(address.path)]
  for (const reference of all) checkReference(reference, inputs)
  if (address.path.some((part) => typeof part === 'string' && /[?#]/.test(part)))
    throw new UnreadableTemplate('must not hold a query or fragment')
  if (address.scheme === 'http://' && referencesOf(address.host).length > 0)
    throw new UnreadableTemplate('must be https')
  const hostInput = wholeHost(address, inputs)
  if (!hostInput) checkHost(address.host, inputs)
  for (const reference of referencesOf(address.path)) {
    if (inputs.get(reference.name)?.type === 'host')
      throw new UnreadableTemplate(`has {${nameOf(reference)}}, which is a host, in its path`)
  }
  return address
}

function split(template: Template): AddressTemplate {
  const [first, ...others] = template
  const [begin = '', scheme] = (typeof first === 'string' && /^(https?:\/\/)/.exec(first)) || []
  if (scheme === undefined) throw new UnreadableTemplate('must begin with https:// before any placeholder')
  const host: (string | Reference)[] = []
  const rest = [(first as string).slice(begin.length), ...others]
  for (const [index, part] of rest.entries()) {
    const slash = typeof part === 'string' ? part.search(/[/?#]/) : -1
    if (slash === -1) host.push(part)
    else {
      const literal = part as string
      const path = [literal.slice(slash), ...rest.slice(index + 1)]
      return { scheme, host: [...host, literal.slice(0, slash)].filter((one) => one !== ''), path }
    }
  }
  return { scheme, host: host.filter((one) => one !== ''), path: [] }
}

function checkReference(reference: Reference, inputs: Inputs): void {
  const input = inputs.get(reference.name)
  const name = `{${nameOf(reference)}}`
  if (!input) throw new UnreadableTemplate(`has ${name}, and there is no input of this name for an address`)
  if (input.isSecret) throw new UnreadableTemplate(`has ${name}: a secret never stands in an address`)
  if (!input.isRequired)
    throw new UnreadableTemplate(`has ${name}: what stands in an address must be required`)
}

/** The input that is the whole host, if it is one of `type: host`. */
function wholeHost({ host }: AddressTemplate, inputs: Inputs): Input | undefined {
  const hosts = referencesOf(host).filter(({ name }) => inputs.get(name)?.type === 'host')
  const [only] = hosts
  if (!only) return undefined
  if (host.length > 1 || only.filters.length > 0)
    throw new UnreadableTemplate(`has {${only.name}} beside other text; a host is the whole of it`)
  return inputs.get(only.name)
}

function checkHost(host: Template, inputs: Inputs): void {
  const references = referencesOf(host)
  if (references.length === 0) return
  const end = host.at(-1)
  if (typeof end !== 'string' || !AUTHORS_END.test(end))
    throw new UnreadableTemplate(
      'leaves its host open: behind the last placeholder come a dot and at least two labels, such as .example.com',
    )
  if (host.some((part) => typeof part === 'string' && part !== end && /[:@]/.test(part)))
    throw new UnreadableTemplate('has a placeholder beside a user name or a port')
  if (/@/.test(end)) throw new UnreadableTemplate('must not hold a user name or password')
  for (const reference of references) checkInHost(reference, inputs)
}

function checkInHost(reference: Reference, inputs: Inputs): void {
  const input = inputs.get(reference.name)
  const name = `{${nameOf(reference)}}`
  if (input?.choices) return
  const { member } = reference
  const pattern = member === undefined ? input?.pattern : input?.members.get(member)
  if (!pattern || !/^\^.*\$$/.test(pattern.source))
    throw new UnreadableTemplate(`has ${name} in its host, where it needs choices, or a pattern from ^ to $`)
  const accepted = PROBES.filter((probe) => !(probe === 'a.b' && (input?.hostLabels ?? 1) > 1)).find(
    (probe) => pattern.test(probe),
  )
  if (accepted !== undefined)
    throw new UnreadableTemplate(`has ${name} in its host, but its pattern takes ${JSON.stringify(accepted)}`)
}

/**
 * The address with its values in place. Undefined where one of them has none.
 * @throws UnfitValue
 */
export function fillAddress(
  { scheme, host, path }: AddressTemplate,
  values: Values,
  inputs: Inputs,
): string | undefined {
  const filledHost = join(host, values, (text, reference) => inHost(text, reference, path, inputs))
  const filledPath = join(path, values, inPath)
  if (filledHost === undefined || filledPath === undefined) return undefined
  const address = `${scheme}${filledHost}${filledPath}`
  const [reference] = [...referencesOf(host), ...referencesOf(path)]
  if (reference && !isComposed(address, scheme, filledHost.split('/', 1)[0] ?? ''))
    throw new UnfitValue(reference.name, 'does not lead to an address', '无法组成有效地址')
  return address
}

function join(
  template: Template,
  values: Values,
  escaped: (text: string, reference: Reference) => string,
): string | undefined {
  let text = ''
  for (const part of template) {
    if (typeof part === 'string') text += part
    else {
      const value = valueBehind(part, values)
      if (value === undefined) return undefined
      text += escaped(value, part)
    }
  }
  return text
}

function inHost(text: string, reference: Reference, path: Template, inputs: Inputs): string {
  const input = inputs.get(reference.name)
  const unfit = (english: string, chinese: string) => new UnfitValue(reference.name, english, chinese)
  if (input?.type === 'host') {
    const parts = partsOfHost(text)
    if (!parts) throw unfit('is not a host', '不是主机名')
    if (parts.path !== '' && path.length > 0)
      throw unfit('must be a host alone, without a path', '只能是主机名，不含路径')
    return text
  }
  const labels = text.split('.')
  if (labels.length <= (input?.hostLabels ?? 1) && labels.every((label) => HOST_LABEL.test(label)))
    return text
  throw unfit(
    'is part of a host name, which holds letters in lower case, digits and hyphens',
    '是主机名的一部分，只能包含小写字母、数字和连字符',
  )
}

function inPath(text: string): string {
  return encodeURIComponent(text)
}

/** Letter by letter, and no segment of the path leads back. */
function isComposed(address: string, scheme: string, host: string): boolean {
  if (!URL.canParse(address)) return false
  const url = new URL(address)
  const rest = address.slice(scheme.length + host.length)
  return `${url.protocol}//` === scheme && url.host === host && (url.pathname || '/') === (rest || '/')
}

/** What fits everywhere, to try an address with before anybody gave a value. */
export function sampleValues(inputs: Inputs): Values {
  const samples = [...inputs.values()].map((input): [string, Value] => {
    const host = `a${input.allowedSuffixes[0] ?? '.example.com'}`
    const text = input.choices?.[0] ?? (input.type === 'host' ? host : 'a')
    return [input.name, { text, members: new Map([...input.members.keys()].map((member) => [member, 'a'])) }]
  })
  return new Map(samples)
}
