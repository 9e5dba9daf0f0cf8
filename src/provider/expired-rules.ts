/**
 * `errors.expired` of a provider file: how an upstream says that a token has ended, where it does not say 401.
 */
import Type from 'typebox'
import { ProviderMistake } from './provider-mistake.ts'

/** What all of a rule's parts fit counts as 401. */
export interface ExpiredRule {
  readonly status: number
  /** Texts that headers hold; names in lower case. */
  readonly headers: readonly (readonly [name: string, text: string])[]
  /** What the beginning of the body holds. */
  readonly body: string | undefined
}

const text = Type.String({ minLength: 1 })
const closed = { additionalProperties: false }

export const EXPIRED_RULES = Type.Array(
  Type.Object(
    {
      status: Type.Integer({ minimum: 400, maximum: 599 }),
      header: Type.Optional(
        Type.Record(Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" }), text, closed),
      ),
      body: Type.Optional(text),
    },
    closed,
  ),
)

/** A status alone says too little: of 403 most mean that a good token may not do this. @throws ProviderMistake */
export function toExpiredRules(rules: Type.Static<typeof EXPIRED_RULES> = []): readonly ExpiredRule[] {
  return rules.map(({ status, header = {}, body }, index) => {
    const headers = Object.entries(header).map(([name, held]) => [name.toLowerCase(), held] as const)
    if (headers.length === 0 && body === undefined)
      throw new ProviderMistake(['errors', 'expired', String(index)], 'needs header or body')
    return { status, headers, body }
  })
}
