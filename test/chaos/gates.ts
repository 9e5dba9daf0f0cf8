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
import { rollingRestart } from './gates/f11-rolling-restart.ts'
import { keyRotation } from './gates/f12-key-rotation.ts'
import { journalUnwritable } from './gates/f13-journal-unwritable.ts'
import { noisyNeighbours } from './gates/f14-noisy-neighbours.ts'
import { switchover } from './gates/f16-switchover.ts'
import { rowGoesBack } from './gates/f17-row-goes-back.ts'
import { autumnHour } from './gates/f18-autumn-hour.ts'
import { lockElsewhere } from './gates/f19-lock-elsewhere.ts'
import { galeraCluster } from './gates/f21-galera.ts'
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
  rollingRestart,
  keyRotation,
  journalUnwritable,
  noisyNeighbours,
  switchover,
  rowGoesBack,
  autumnHour,
  lockElsewhere,
  galeraCluster,
]
