/**
 * What rows and journal need while a process lives: both may be put back to an earlier state by others.
 */
import { MINUTE, SECOND, sleep } from '../base/clock.ts'
import { every } from '../base/every.ts'
import type { Logger } from '../base/log.ts'
import type { ChangeWatcher } from '../storage/changes.ts'
import type { Journal } from './journal.ts'
import type { Refresher } from './refresh.ts'

const LOOK_EVERY_MS = SECOND

const RETRY_MS = SECOND

/** Resolves when nothing is left of what a process before this one began. @param isOver this one ends */
export async function finishBegun(
  refresher: Pick<Refresher, 'recover'>,
  log: Logger,
  isOver: () => boolean,
): Promise<void> {
  while (!isOver()) {
    try {
      return await refresher.recover(isOver)
    } catch (error) {
      log.warn({ err: error }, 'what was begun before cannot be finished yet')
      await sleep(RETRY_MS)
    }
  }
}

/** A database may go back to an earlier state, all of it or its last seconds. @returns ends it */
export function lookAfterRows(
  refresher: Pick<Refresher, 'putAllRight' | 'lookAfterStored'>,
  changes: Pick<ChangeWatcher, 'onWentBack'>,
  log: Logger,
): () => void {
  const failed = (error: unknown) => log.warn({ err: error }, 'looking after what was stored')
  changes.onWentBack(() => void refresher.putAllRight().catch(failed))
  return every(LOOK_EVERY_MS, () => refresher.lookAfterStored().catch(failed))
}

/** Now, and once a minute: see {@link Journal.tend}. @returns ends it */
export function tendJournal(journal: Pick<Journal, 'tend'>, log: Logger): () => void {
  const tend = () => {
    try {
      journal.tend()
    } catch (error) {
      log.warn({ err: error }, 'the journal cannot be tended')
    }
  }
  tend()
  return every(MINUTE, tend)
}
