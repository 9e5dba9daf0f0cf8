/**
 * One completion of one token, to see whether a credential is taken where it is sent.
 */
import { SECOND } from '../base/clock.ts'
import { reasonOf } from '../base/failure.ts'
import type { UpstreamAccess } from '../upstream/access.ts'
import type { Agents } from '../upstream/agent.ts'
import { beginningOf } from './answer-beginning.ts'
import { askUpstream, completionOf } from './ask-upstream.ts'
import type { UpstreamAnswer } from './judge-answer.ts'

const TIMEOUT_MS = 30 * SECOND

/** The answer, or why there is none. Never throws. */
export async function complete(
  access: UpstreamAccess,
  model: string,
  agents: Pick<Agents, 'of'>,
  timeoutMs = TIMEOUT_MS,
): Promise<UpstreamAnswer | string> {
  try {
    const answer = await askUpstream(access, completionOf(model), agents, timeoutMs)
    const headers = Object.entries(answer.headers).flatMap(([name, value]) => [name, String(value)])
    return { status: answer.statusCode, headers, body: await beginningOf(answer.body) }
  } catch (error) {
    return reasonOf(error, timeoutMs)
  }
}
