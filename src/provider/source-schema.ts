/**
 * The words for where a text of a token call comes from (SOURCE in docs/providers.md).
 */
import Type from 'typebox'

const closed = { additionalProperties: false }
const line = Type.String({ minLength: 1 })

/** The text itself, `env:NAME`, `{input}`; or a file, by its path or by `env:NAME` of a variable that holds it. */
export const SOURCE = Type.Union([line, Type.Object({ file: line }, closed)])
export type SourceFile = Type.Static<typeof SOURCE>
