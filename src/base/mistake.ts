/**
 * What is wrong with a value, said so that a person can mend it: which field, and what would be right.
 */
import type { TSchema } from 'typebox'
import { Locale } from 'typebox/system'
import { Check, Errors } from 'typebox/value'

export interface Mistake {
  readonly path: readonly string[]
  readonly message: string
  readonly chinese: string
}

/**
 * The mistake that tells most, or undefined if the value fits: an unknown name before what follows from it. The schema
 * is not compiled, which is worth it only for what many values are held against.
 */
export function firstMistake(schema: TSchema, value: unknown): Mistake | undefined {
  if (Check(schema, value)) return undefined
  const errors = Errors(schema, value)
  const error = errors.find((candidate) => candidate.keyword === 'additionalProperties') ?? errors[0]
  if (!error) return { path: [], message: 'is not valid', chinese: '无效' }
  const path = error.instancePath.split('/').slice(1)
  switch (error.keyword) {
    case 'additionalProperties': {
      const unknown = (error.params as { additionalProperties: string[] }).additionalProperties[0] ?? '?'
      const known = knownNames(schema, path)
      const names = known.join(', ')
      return {
        path: [...path, unknown],
        message: `is not a known name${names && `; known here: ${names}`}`,
        chinese: `不是已知字段${names && `；可用字段：${names}`}`,
      }
    }
    case 'enum': {
      const allowed = (error.params as { allowedValues: unknown[] }).allowedValues.join(', ')
      return { path, message: `must be one of ${allowed}`, chinese: `必须是以下之一：${allowed}` }
    }
    case 'required': {
      const missing = (error.params as { requiredProperties: string[] }).requiredProperties.join(', ')
      return { path, message: `needs ${missing}`, chinese: `缺少 ${missing}` }
    }
    default:
      return { path, message: error.message, chinese: Locale.zh_Hans(error) }
  }
}

/** The property names the schema knows at a path. */
function knownNames(schema: TSchema, path: readonly string[]): string[] {
  type Node = { properties?: Record<string, Node> }
  let node: Node | undefined = schema as Node
  for (const name of path) node = node?.properties?.[name]
  return Object.keys(node?.properties ?? {})
}
