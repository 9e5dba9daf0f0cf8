/** All fault gates, in order. */
import { oneRefresh } from './gates/f1-one-refresh.ts'
import { killedWhileRefreshing } from './gates/f2-killed-while-refreshing.ts'
import { holderAway } from './gates/f3-holder-away.ts'
import { databaseAway } from './gates/f4-database-away.ts'
import { databaseDiesBeforeCommit } from './gates/f5-database-dies-before-commit.ts'
import { sickServer } from './gates/f6-sick-server.ts'
import { clientsLeave } from './gates/f8-clients-leave.ts'
import { idleReaders } from './gates/f9-idle-readers.ts'
import { upstreamResets } from './gates/f10-upstream-resets.ts'
import { noisyNeighbours } from './gates/f14-noisy-neighbours.ts'
import type { Gate } from './lab.ts'

export const GATES: readonly Gate[] = [
  oneRefresh,
  killedWhileRefreshing,
  holderAway,
  databaseAway,
  databaseDiesBeforeCommit,
  sickServer,
  clientsLeave,
  idleReaders,
  upstreamResets,
  noisyNeighbours,
]
