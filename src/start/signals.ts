/**
 * What a signal ends.
 */
import { SECOND } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'

/** What serves; as `Broker` in `src/broker.ts`. */
interface Serving {
  drain(): void
  close(graceMs: number): Promise<void>
}

/** After SIGTERM a load balancer needs this long to see that `/health/ready` says no. */
const DRAIN_MS = 5 * SECOND

/**
 * SIGTERM: not ready at once, yet serving until balancers have noticed; then no new connections, while running
 * calls, streams and refreshes finish within SHUTDOWN_GRACE_SECONDS. SIGINT skips the wait for balancers.
 *
 * @param closeOthers what goes once nothing is served any more
 */
export function stopOnSignals(
  serving: Serving,
  closeOthers: () => Promise<void>,
  graceMs: number,
  log: Logger,
): void {
  let isStopping = false
  const stop = async (signal: NodeJS.Signals) => {
    if (isStopping) return
    isStopping = true
    log.info({ signal }, 'stopping')
    serving.drain()
    const drainMs = signal === 'SIGTERM' ? Math.min(DRAIN_MS, graceMs) : 0
    await new Promise((resolve) => setTimeout(resolve, drainMs))
    await serving.close(graceMs - drainMs)
    await closeOthers()
    log.info({ signal }, 'stopped')
    process.exit() // a database that is silent would keep timers of its driver running for seconds
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}
