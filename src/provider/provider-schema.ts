/**
 * `config/provider.schema.json`, for editors: what `PROVIDER_FILE` says, and that `null` means unset.
 *
 * `npm run schema` writes it anew.
 */
import { writeFileSync } from 'node:fs'
import { PROVIDER_FILE } from './provider-file.ts'

export const PROVIDER_SCHEMA_FILE = new URL('../../config/provider.schema.json', import.meta.url)

export function providerSchema(): object {
  const { required, properties, additionalProperties } = withNulls(PROVIDER_FILE as Node)
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'token-broker provider file',
    ...{ type: 'object', required, properties, additionalProperties },
  }
}

interface Node {
  readonly type?: string | readonly string[]
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Node[]
  readonly required?: readonly string[] | undefined
  readonly properties?: Readonly<Record<string, Node>>
  readonly additionalProperties?: unknown
}

/** Every member that may be left out may be `null` as well. */
function withNulls(node: Node): Node {
  if (!node.properties) return node
  const members = Object.entries(node.properties).map(([name, member]) => {
    const inner = withNulls(member)
    return [name, node.required?.includes(name) ? inner : orNull(inner)]
  })
  return { ...node, properties: Object.fromEntries(members) }
}

function orNull(node: Node): Node {
  if (node.anyOf) return { ...node, anyOf: [...node.anyOf, { type: 'null' }] }
  return node.enum
    ? { ...node, enum: [...node.enum, null] }
    : { ...node, type: [node.type, 'null'].flat() as string[] }
}

if (import.meta.main) writeFileSync(PROVIDER_SCHEMA_FILE, JSON.stringify(providerSchema()))
