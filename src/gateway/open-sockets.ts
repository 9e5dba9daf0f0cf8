/**
 * The pairs of sockets that are joined. They end with their key and with their config.
 */
import { isDeepStrictEqual } from 'node:util'
import { endOf, type FoundKey } from '../api-key/api-key.ts'
import { SECOND } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { every } from '../base/every.ts'
import type { ChangeWatcher } from '../storage/changes.ts'
import type { GatewayParts } from './gateway.ts'
import type { ClientHandshake } from './handshake.ts'
import type { JoinedSockets } from './joined-sockets.ts'
import { assertTargetWithinModels } from './limited-keys.ts'
import { ofNames } from './named-config.ts'
import { mayAnswer, type Route } from './routing.ts'

/** What an open pair of sockets stands on. */
export interface Standing {
  readonly handshake: ClientHandshake
  /** As it was when last looked at. */
  key: FoundKey
  readonly names: readonly string[] | undefined
  readonly route: Route
  readonly target: string
  readonly asked: string | undefined
  readonly joined: Pick<JoinedSockets, 'close'>
  /** The changes that had been seen when its key and config were last looked at. */
  seen: number
}

export interface Grounds extends Pick<GatewayParts, 'apiKeys' | 'configs'> {
  readonly changes: Pick<ChangeWatcher, 'seen' | 'clock'>
}

const LOOK_EVERY_MS = SECOND
export const POLICY_VIOLATION = 1008
const GOING_AWAY = 1001

export class OpenSockets {
  readonly #grounds: Grounds
  readonly #open = new Set<Standing>()
  #stopLooking: (() => void) | undefined

  constructor(grounds: Grounds) {
    this.#grounds = grounds
  }

  add(standing: Standing): void {
    if (this.#open.size === 0) this.#startLooking()
    this.#open.add(standing)
  }

  /** Its sockets have ended. */
  delete(standing: Standing): void {
    this.#open.delete(standing)
    if (this.#open.size === 0) this.#stopLooking?.()
  }

  closeAll(): void {
    for (const { joined } of this.#open) joined.close(GOING_AWAY, 'The server is going away')
  }

  /** While any are open. A database that is silent keeps no key alive that has run out. */
  #startLooking(): void {
    const stops = [
      every(LOOK_EVERY_MS, () => this.#endExpired()),
      every(LOOK_EVERY_MS, () => this.#lookAfterChanges()),
    ]
    this.#stopLooking = () => {
      for (const stop of stops) void stop()
    }
  }

  #endExpired(): void {
    const now = this.#grounds.changes.clock()
    for (const { key, joined } of this.#open)
      if (now >= endOf(key)) joined.close(POLICY_VIOLATION, 'The API key has expired')
  }

  /** If keys or configs changed: who may go on. What cannot be read now is looked at again in a second. */
  async #lookAfterChanges(): Promise<void> {
    const { seen } = this.#grounds.changes
    const stale = [...this.#open].filter((standing) => standing.seen !== seen)
    await Promise.all(
      stale.map(async (standing) => {
        if (await this.#stands(standing)) standing.seen = seen
      }),
    )
  }

  /** Ends what has lost its ground. @returns whether it could be told */
  async #stands(standing: Standing): Promise<boolean> {
    const { apiKeys, configs } = this.#grounds
    const { handshake, names, route, target, asked, joined } = standing
    try {
      const key = await apiKeys.authenticate(handshake.presented)
      assertTargetWithinModels(key, target, asked)
      const scope = ofNames(await configs.ofScope(key.modelConfigIds), names)
      if (!mayAnswer(route.config.id, key, scope, asked))
        joined.close(POLICY_VIOLATION, 'The model config of this connection has ended')
      // Its messages are read by the models that it had.
      if (!isDeepStrictEqual(key.models, standing.key.models))
        joined.close(POLICY_VIOLATION, 'The models of this API key were changed')
      standing.key = key
      return true
    } catch (error) {
      if (!(error instanceof BrokerError) || error.status >= 500) return false
      joined.close(POLICY_VIOLATION, 'The API key or the model config of this connection has ended')
      return true
    }
  }
}
