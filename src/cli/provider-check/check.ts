/**
 * A provider's file, tried: what it would send, as it may be shown.
 */
import type { Clock } from '../../base/clock.ts'
import type { Given, Lack } from '../../provider/given.ts'
import { type Provider, withInputs } from '../../provider/provider.ts'
import { type Rehearsal, rehearse } from './rehearsal.ts'
import { shownCall } from './shown-call.ts'
import { StandIns, standInReader } from './stand-ins.ts'

export interface Checked extends Rehearsal {
  /** Inputs without which nothing can be sent, or whose value is none. */
  readonly lacking: readonly Lack[]
}

/** @param given values of inputs; secret ones are judged, and are in nothing that comes of it */
export async function checkProvider(file: Provider, given: Given, clock: Clock): Promise<Checked> {
  const standIns = new StandIns()
  const filled = withInputs(file, given, standInReader(standIns))
  const { lacking } = filled
  if (lacking.length > 0) return { lacking, calls: [], trouble: undefined }
  const { calls, trouble } = await rehearse(filled, standIns, clock)
  return { lacking, trouble, calls: calls.map((call) => shownCall(call, standIns)) }
}
