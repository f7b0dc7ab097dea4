/** Every attack, in the order in which the rig makes them: those that leave most behind come last. */
import type { Attack } from './attack.js'
import { beforeConnect, descriptors } from './before-connect.js'
import { everNewClients, everNewSubscriptions, queueFilters } from './ever-new.js'
import { filtersOverRetained } from './filters-over-retained.js'
import { neverReads } from './never-reads.js'
import { dearConditions, largeJson, traces, unfinishedBodies } from './over-http.js'
import { everNewTopics, overlapping } from './overlapping.js'
import { everNewRetained } from './retained.js'
import { smallSubscribes } from './small-subscribes.js'

export const attacks: readonly Attack[] = [
  neverReads,
  smallSubscribes,
  overlapping,
  everNewTopics,
  filtersOverRetained,
  beforeConnect,
  unfinishedBodies,
  largeJson,
  traces,
  dearConditions,
  descriptors,
  everNewSubscriptions,
  everNewRetained,
  everNewClients,
  queueFilters,
]
