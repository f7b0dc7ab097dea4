/** The operations room's door: everything that can be done with a broker from outside, typed. Doors translate; they decide nothing. */
import type { Broker } from '../broker/broker.js'
import { Ground } from './ground.js'
import { Queues } from './messages.js'

export interface Operations {
  readonly queues: Queues
}

export function createOperations(broker: Broker): Operations {
  const ground = new Ground(broker)
  return { queues: new Queues(ground) }
}
