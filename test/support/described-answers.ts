/**
 * Compares what brokers answer with what `/openapi.json` says of it, so that every test proves the description: each
 * status must be declared, each body must fit, and no body may have a field that its schema does not name.
 */
import { Compile } from 'typebox/compile'

interface Schema {
  readonly [name: string]: unknown
}
interface Operation {
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>
}
type Content = Readonly<Record<string, { readonly schema: Schema }>>
interface Page {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}
type Template = [path: RegExp, operations: Readonly<Record<string, Operation>>]

export class DescribedAnswers {
  readonly #schemas: Page['components']['schemas']
  readonly #templates: Template[]
  readonly #compiled = new Map<Schema, ReturnType<typeof Compile>>()

  constructor({ paths, components }: Page) {
    this.#schemas = components.schemas
    // A path that is written out counts more than one with parameters.
    const sorted = Object.entries(paths).sort(
      ([one], [other]) => one.split('{').length - other.split('{').length,
    )
    this.#templates = sorted.map(([path, operations]) => [patternOf(path), operations])
  }

  /** Nothing is said of what stands on no path of the page. @throws Error that says what is not declared */
  check(method: string, path: string, answer: { status: number; headers: Headers; body: unknown }): void {
    const [, operations] = this.#templates.find(([pattern]) => pattern.test(path)) ?? []
    const operation = operations?.[method.toLowerCase()]
    if (!operation) return
    const called = `${method} ${path} answers ${answer.status}`
    const response = operation.responses[answer.status]
    if (!response) throw new Error(`${called}, which is not declared: ${JSON.stringify(answer.body)}`)
    if (!response.content) {
      if (answer.body !== '') throw new Error(`${called} with a body, and none is declared`)
      return
    }
    const type = answer.headers.get('content-type')?.split(';')[0] ?? ''
    const { schema } = response.content[type] ?? {}
    if (!schema) throw new Error(`${called} as ${type}, which is not declared`)
    const problem = this.#problem(schema, answer.body)
    if (problem) throw new Error(`${called}, and ${problem}: ${JSON.stringify(answer.body)}`)
  }

  #problem(schema: Schema, body: unknown): string | undefined {
    const compiled = this.#compiled.get(schema) ?? Compile(this.#closed(schema) as object)
    this.#compiled.set(schema, compiled)
    const errors = compiled.Check(body) ? [] : compiled.Errors(body)
    return errors.length === 0
      ? undefined
      : errors.map(({ instancePath, message }) => `${instancePath} ${message}`).join()
  }

  /** Without references, and with no room for what is not named. */
  #closed(part: unknown): unknown {
    if (Array.isArray(part)) return part.map((one) => this.#closed(one))
    if (typeof part !== 'object' || part === null) return part
    const { $ref } = part as { $ref?: string }
    if ($ref !== undefined) return this.#closed(this.#schemas[$ref.split('/').at(-1) ?? ''])
    const entries = Object.entries(part).map(([name, one]) => [name, this.#closed(one)])
    const closing = 'properties' in part && 'type' in part ? { additionalProperties: false } : {}
    return { ...closing, ...Object.fromEntries(entries) }
  }
}

function patternOf(path: string): RegExp {
  const pattern = path.replace(/[.]/g, '\\.').replace(/\{[^}]*\}/g, '[^/]+')
  return new RegExp(`^${pattern}$`)
}
