/**
 * For single questions (doctor, the connection test, the webhook). Calls of clients go through the pool.
 */
import { Agent } from 'undici'
import { SECOND } from '../base/clock.ts'

export function createAgent(): Agent {
  return new Agent({ connect: { timeout: 10 * SECOND } })
}
