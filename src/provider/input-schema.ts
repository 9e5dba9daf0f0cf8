/**
 * The words for `inputs` of a provider file: what each config says for itself, as a form asks for it.
 */
import Type from 'typebox'

const closed = { additionalProperties: false }
const line = Type.String({ minLength: 1 })

/** For people: one text for all, or one for each language. */
export const WORDS = Type.Union([line, Type.Object({ en: line, zh: line }, closed)])
export type Words = Type.Static<typeof WORDS>

/** Longer uploads are nothing that a credential is made of. */
const MAX_KIB = 64
const MAX_HOST_LABELS = 10

const INPUT = Type.Object(
  {
    label: Type.Optional(WORDS),
    help: Type.Optional(WORDS),
    /** Where a person finds the value. */
    help_url: Type.Optional(line),
    example: Type.Optional(line),
    /** In the form: the lowest first, those without one last, as the file has them. */
    order: Type.Optional(Type.Number()),
    type: Type.Optional(Type.Enum(['text', 'json', 'pem', 'host'])),
    secret: Type.Optional(Type.Boolean()),
    required: Type.Optional(Type.Boolean()),
    default: Type.Optional(line),
    pattern: Type.Optional(line),
    choices: Type.Optional(Type.Array(line, { minItems: 1 })),
    file: Type.Optional(
      Type.Object(
        {
          accept: Type.Optional(line),
          max_kib: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_KIB })),
        },
        closed,
      ),
    ),
    members: Type.Optional(
      Type.Record(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_-]*$' }), line, {
        ...closed,
        minProperties: 1,
      }),
    ),
    host_labels: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_HOST_LABELS })),
    allowed_suffixes: Type.Optional(Type.Array(line, { minItems: 1 })),
    any_host: Type.Optional(Type.Boolean()),
  },
  closed,
)
export type InputFile = Type.Static<typeof INPUT>

export const INPUTS = Type.Record(Type.String({ pattern: '^[a-z][a-z0-9_]{0,39}$' }), INPUT, closed)
