/**
 * Asks the metadata service of the machine that this process runs on.
 */
import { Agent, type Dispatcher } from 'undici'
import { SECOND } from '../base/clock.ts'
import type { MetadataSource } from '../provider/metadata-source.ts'
import { ask } from './request.ts'
import { SourceTrouble } from './simple-sources.ts'
import { at } from './step-answer.ts'
import { exchange } from './wire.ts'

const TIMEOUT_MS = 5 * SECOND
/** Never through a proxy: what it gives out is this machine's own. */
export const METADATA_AGENT = new Agent({ pipelining: 0, connect: { timeout: 2 * SECOND } })

/** @throws SourceTrouble */
export async function readMetadata(
  { name, url, headers, pointer }: MetadataSource,
  by: Dispatcher = METADATA_AGENT,
): Promise<string> {
  const answer = await exchange(by, TIMEOUT_MS, (signal, dispatcher) =>
    ask(dispatcher, url, { headers, signal }),
  )
  if (answer.kind !== 'answer')
    throw new SourceTrouble(`${name}: the metadata service cannot be reached (${answer.why})`, false)
  const { status, body, text } = answer
  if (status < 200 || status >= 300) {
    const isLasting = status >= 400 && status < 500 && ![404, 408, 410, 429].includes(status)
    throw new SourceTrouble(`${name}: the metadata service answers ${status}`, isLasting)
  }
  const value = pointer === undefined ? text().trim() : at(body, pointer)
  if (typeof value === 'string' && value !== '') return value
  throw new SourceTrouble(`${name}: the metadata service says nothing there`, false)
}
