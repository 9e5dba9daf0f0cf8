/**
 * Answers as schemas: the type that a handler returns, and what `/openapi.json` says, come from the same place.
 */
import Type from 'typebox'
import { ERRORS, type ErrorCode } from './errors.ts'

/** What is answered, as a schema has it. */
export type Answer<S extends Type.TSchema> = ReadOnly<Type.Static<S>>

type ReadOnly<T> = T extends object ? { readonly [K in keyof T]: ReadOnly<T[K]> } : T

export const text = (description: string) => Type.String({ description })

export const count = (description: string) => Type.Integer({ minimum: 0, description })

export const instant = (description: string) => Type.Integer({ description: `${description} Epoch ms.` })

export const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

export const pageFields = {
  total: count('How many there are on all pages.'),
  page: Type.Integer({ minimum: 1 }),
  page_size: Type.Integer({ minimum: 1, maximum: 100 }),
}

/** Of a list that can be gone through by cursors. */
export const nextCursor = Type.Optional(
  nullable(text('Where a `cursor` was sent: that of the next page; null: this is the last.')),
)

/** 204. */
export const NOTHING = Type.Unsafe<undefined>({ type: 'null', description: 'Done; there is no body.' })

/** What is no JSON. */
export const textOf = (mediaType: string, description: string) => ({
  description,
  content: { [mediaType]: { schema: Type.String() } },
})

type Answers = Readonly<Record<string, unknown>>

/**
 * The error answers of a route, by status. What is thrown is no part of what a handler returns, so the type has none
 * of it.
 */
export function errorAnswers(...codes: readonly ErrorCode[]): object {
  return withErrors({}, codes)
}

/** The answers of a route with further errors among them, each under its status. */
export function withErrors(
  answers: Answers,
  codes: readonly ErrorCode[],
  describe: Describe = errorBody,
): Answers {
  const byStatus = Object.groupBy(codes, (code) => ERRORS[code].status)
  const more = Object.entries(byStatus).map(([status, added = []]) => [
    status,
    describe(added, answers[status] as Known | undefined),
  ])
  return { ...answers, ...Object.fromEntries(more) }
}

/** @param known what is said of the status already */
type Describe = (codes: readonly ErrorCode[], known: Known | undefined) => Type.TSchema

interface Known {
  readonly description?: string
  readonly properties?: { readonly code: { readonly enum: readonly ErrorCode[] } }
}

function errorBody(added: readonly ErrorCode[], known?: Known) {
  const codes = [...new Set([...(known?.properties?.code.enum ?? []), ...added])]
  return Type.Object(
    {
      detail: text('What is wrong and what to do, in Chinese.'),
      code: Type.Enum(codes, { description: 'Stable: programs may branch on it.' }),
      message: text('The same in the language of `?lang=` or Accept-Language, else in English.'),
    },
    { description: meaningOf(codes), ...(codes.length === 1 && { title: `${pascalCase(codes[0])}Error` }) },
  )
}

/** An error as a page for people, for {@link withErrors}. */
export function errorPage(codes: readonly ErrorCode[], known?: Known) {
  return text([known?.description, meaningOf(codes)].filter(Boolean).join('\n\n'))
}

function pascalCase(code = ''): string {
  return code.replace(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase())
}

function meaningOf(codes: readonly ErrorCode[]): string {
  return codes.map((code) => `\`${code}\`: ${ERRORS[code].english}.`).join('\n\n')
}
