/**
 * What is wrong with a value, said so that a person can mend it: which field, and what would be right.
 */
import type { Compile } from 'typebox/compile'

export type Schema = ReturnType<typeof Compile>

export interface Mistake {
  readonly path: readonly string[]
  readonly message: string
}

/** The mistake that tells most, or undefined if the value fits: an unknown name before what follows from it. */
export function firstMistake(schema: Schema, value: unknown): Mistake | undefined {
  if (schema.Check(value)) return undefined
  const errors = schema.Errors(value)
  const error = errors.find((candidate) => candidate.keyword === 'additionalProperties') ?? errors[0]
  if (!error) return { path: [], message: 'is not valid' }
  const path = error.instancePath.split('/').slice(1)
  switch (error.keyword) {
    case 'additionalProperties': {
      const unknown = (error.params as { additionalProperties: string[] }).additionalProperties[0] ?? '?'
      const known = knownNames(schema, path)
      const hint = known.length > 0 ? `; known here: ${known.join(', ')}` : ''
      return { path: [...path, unknown], message: `is not a known name${hint}` }
    }
    case 'enum':
      return {
        path,
        message: `must be one of ${(error.params as { allowedValues: unknown[] }).allowedValues.join(', ')}`,
      }
    case 'required':
      return {
        path,
        message: `needs ${(error.params as { requiredProperties: string[] }).requiredProperties.join(', ')}`,
      }
    default:
      return { path, message: error.message }
  }
}

/** The property names the schema knows at a path. */
function knownNames(schema: Schema, path: readonly string[]): string[] {
  type Node = { properties?: Record<string, Node> }
  let node: Node | undefined = schema.Type() as Node
  for (const name of path) node = node?.properties?.[name]
  return Object.keys(node?.properties ?? {})
}
