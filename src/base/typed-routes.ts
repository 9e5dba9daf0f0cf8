/**
 * Routes whose handlers get their types from the route's own schemas: what they are given, and what they answer.
 */
import type { FastifyTypeProvider } from 'fastify'
import type Type from 'typebox'
import type { Answer } from './answers.ts'

/** For `app.withTypeProvider<BySchema>()`. */
export interface BySchema extends FastifyTypeProvider {
  readonly validator: this['schema'] extends Type.TSchema ? Type.Static<this['schema']> : unknown
  readonly serializer: this['schema'] extends Type.TSchema ? Answer<this['schema']> : unknown
}
