/** The operations room's door: everything that can be done with a broker from outside, typed. Doors translate; they decide nothing. */
import type { Broker } from '../broker/broker.js'
import { Bridges } from './bridges.js'
import { Ground } from './ground.js'
import { Queues } from './messages.js'
import { type Publish, publisher } from './publish.js'
import { Sessions } from './sessions.js'
import { type TraceMessage, tracer } from './trace.js'

export interface Operations {
  readonly queues: Queues
  readonly sessions: Sessions
  readonly bridges: Bridges
  readonly publish: Publish
  readonly trace: TraceMessage
}

export function createOperations(broker: Broker): Operations {
  const ground = new Ground(broker)
  return {
    queues: new Queues(ground),
    sessions: new Sessions(ground),
    bridges: new Bridges(ground),
    publish: publisher(ground),
    trace: tracer(ground),
  }
}
