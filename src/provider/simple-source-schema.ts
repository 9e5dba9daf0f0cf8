/**
 * The words for a text that is there already: in the provider file, the environment, an input or a file.
 */
import Type from 'typebox'

const closed = { additionalProperties: false }
const line = Type.String({ minLength: 1 })

/** The text itself, `env:NAME`, `{input}`; or a file, by its path or by `env:NAME` of a variable that holds it. */
export const SIMPLE_SOURCE = Type.Union([line, Type.Object({ file: line }, closed)])
export type SimpleSourceFile = Type.Static<typeof SIMPLE_SOURCE>
