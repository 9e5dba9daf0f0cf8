/**
 * How connections to a provider's upstream are made, where its file says so.
 */
import Type from 'typebox'
import { SECOND } from '../base/clock.ts'
import type { Egress } from './egress.ts'

/** Undefined: as for all others. */
export interface Way {
  /** Ways of one key are the same, and share their connections. */
  readonly key: string
  readonly connectMs: number | undefined
  readonly headMs: number | undefined
  /** Between two pieces of an answer. */
  readonly idleMs: number | undefined
  readonly egress: Egress | undefined
}

const seconds = Type.Optional(Type.Number({ minimum: 0.1, maximum: 3_600 }))

export const TIMEOUTS_FILE = Type.Object(
  { connect_seconds: seconds, head_seconds: seconds, idle_seconds: seconds },
  { additionalProperties: false },
)

export function toWay(
  timeouts: Type.Static<typeof TIMEOUTS_FILE> = {},
  egress: Egress | undefined,
): Way | undefined {
  if (Object.keys(timeouts).length === 0 && !egress) return undefined
  const { connect_seconds: connect, head_seconds: head, idle_seconds: idle } = timeouts
  const [connectMs, headMs, idleMs] = [connect, head, idle].map((wait) => wait && wait * SECOND)
  const key = JSON.stringify([connectMs, headMs, idleMs, egress?.key])
  return { key, connectMs, headMs, idleMs, egress }
}
