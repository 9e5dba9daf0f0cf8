/**
 * Vectors that are small and always the same for the same input, and mean nothing.
 */
import { createHash } from 'node:crypto'
import Type from 'typebox'
import { usageOf } from './completion.ts'

const TOKENS = Type.Array(Type.Integer(), { minItems: 1 })

export const EMBEDDING_REQUEST = Type.Object({
  model: Type.String(),
  input: Type.Union([
    Type.String(),
    Type.Array(Type.String(), { minItems: 1 }),
    TOKENS,
    Type.Array(TOKENS, { minItems: 1 }),
  ]),
  encoding_format: Type.Optional(Type.Enum(['float', 'base64'])),
})
export type EmbeddingRequest = Type.Static<typeof EMBEDDING_REQUEST>

export function embeddings({ model, input, encoding_format }: EmbeddingRequest) {
  const isOne = typeof input === 'string' || typeof input[0] === 'number'
  const inputs = isOne ? [input] : (input as (string | number[])[])
  const { prompt_tokens, total_tokens } = usageOf(inputs.map(String).join(' '), '')
  return {
    object: 'list',
    model,
    data: inputs.map((one, index) => ({
      object: 'embedding',
      index,
      embedding: encode(vectorOf(JSON.stringify(one)), encoding_format),
    })),
    usage: { prompt_tokens, total_tokens },
  }
}

/** Eight numbers from a SHA-256, brought to length 1. */
function vectorOf(text: string): Float32Array {
  const digest = createHash('sha256').update(text).digest()
  const raw = Float32Array.from({ length: 8 }, (_, index) => digest.readInt32LE(index * 4) / 2 ** 31)
  const length = Math.hypot(...raw)
  return raw.map((number) => number / length)
}

/** base64 is of little-endian float32; OpenAI's own client asks for it unless told otherwise. */
function encode(vector: Float32Array, format: EmbeddingRequest['encoding_format']): number[] | string {
  if (format !== 'base64') return [...vector]
  const bytes = Buffer.alloc(vector.length * 4)
  vector.forEach((number, index) => {
    bytes.writeFloatLE(number, index * 4)
  })
  return bytes.toString('base64')
}
