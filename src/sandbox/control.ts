/**
 * The sandbox's levers over HTTP, for tests that run it in another process.
 *
 * Only JSON is accepted: a web page cannot post that to us without a preflight, which we do not answer.
 */
import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import type { Counts } from './counts.ts'
import { FAULT_ORDER, type FaultOrder, type Faults } from './faults.ts'

/** Each takes effect at once and resolves when the change is on file. */
export interface Levers {
  readonly faults: Faults
  readonly counts: Counts
  /** False when the code is unknown, expired or already decided. */
  approve(userCode: string): Promise<boolean>
  deny(userCode: string): Promise<boolean>
  /** Upstream refuses every access token there is; refresh tokens stay good. */
  revokeAccessTokens(): Promise<void>
  revokeFamilies(): Promise<void>
}

const DECISION = Type.Object({ user_code: Type.String() })
type DecisionBody = Type.Static<typeof DECISION>

export function addControl(scope: FastifyInstance, sandbox: Levers): void {
  scope.get('/control/counts', async () => sandbox.counts)

  scope.post<{ Body: FaultOrder }>(
    '/control/faults',
    { schema: { body: FAULT_ORDER } },
    async (request, reply) => {
      const { at, fault, times } = request.body
      sandbox.faults.next(at, fault, times)
      return reply.code(204).send()
    },
  )

  for (const [path, lever] of [
    ['/control/approve', sandbox.approve],
    ['/control/deny', sandbox.deny],
  ] as const) {
    scope.post<{ Body: DecisionBody }>(path, { schema: { body: DECISION } }, async (request, reply) => {
      const isDecided = await lever(request.body.user_code)
      return reply.code(isDecided ? 204 : 404).send()
    })
  }

  for (const [path, lever] of [
    ['/control/revoke-access-tokens', sandbox.revokeAccessTokens],
    ['/control/revoke-families', sandbox.revokeFamilies],
  ] as const) {
    scope.post(path, async (_request, reply) => {
      await lever()
      return reply.code(204).send()
    })
  }
}
